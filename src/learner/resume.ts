import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { CheckpointError, ConfigError } from '../engine/errors.ts'
import { getRngState, scope, setRngState } from '../engine/index.ts'
import type { CallbackState, StateValue } from './callbackState.ts'
import { checkpointFile, describeLearner, loadModel } from './checkpoint.ts'
import type { BatchLoader } from './data.ts'
import { type DataFingerprint, fingerprintDifferences, fingerprintOf } from './dataFingerprint.ts'
import { encodeMeaning } from './dataMeaning.ts'
import type { FitPosition } from './FitState.ts'
import type { Learner } from './Learner.ts'
import { honest, honestNow, type LearnerFile, readLearnerFile, writeLearnerFile } from './learnerFile.ts'
import type { Fit } from './loop.ts'
import type { HyperParameters } from './OptimizerWrapper.ts'
import { putOptimizer, readOptimizer, tensorLike } from './optimizerFile.ts'
import {
  anyNumber,
  bulk,
  count,
  exactly,
  like,
  listOf,
  mapOf,
  type StateCheck,
  smoothing,
  text,
  truth,
} from './stateChecks.ts'
import { decodeState, encodeState } from './stateCodec.ts'

/** What a fit was asked to do: a fit that resumes must be asked the same. */
export type FitRequest = {
  epochs: number
  batchesPerEpoch: number
  /** Items of the training data. */
  items: number
  /** Of each layer group. */
  lr: number[]
  wd: number | number[]
}

/** A fit in the middle of its run, beside the model and what the optimizer remembers. */
type SavedFit = {
  request: FitRequest
  position: FitPosition
  /** Names of the parameters in each layer group. */
  layerGroups: string[][]
  /** Names of the parameters that are not frozen. */
  trainable: string[]
  hyperParameters: HyperParameters
  callbacks: Record<string, CallbackState>
  /** Options of those callbacks that steer training. Files written before there was this have none. */
  steering?: Record<string, CallbackState>
  /** The engine's generator. */
  random: Uint8Array
  trainDl: StateValue
  validDl: StateValue
  /** What it trained on. Files written before there was this have none. */
  data?: DataFingerprint
}

/** What must be true of the parts whatever the Learner; the rest is compared where it is taken up. */
const checks: { readonly [Name in keyof SavedFit]?: StateCheck } = {
  request: mapOf(() => {}),
  position: exactly({
    epoch: count(),
    iteration: count(),
    midEpoch: truth,
    numBatch: count(),
    trained: truth,
    stopEpoch: truth,
    skipValidate: truth,
    stopTraining: truth,
    smoothing: smoothing(),
    lossSum: anyNumber,
    samples: count(),
  }),
  layerGroups: listOf(listOf(text)),
  trainable: listOf(text),
  callbacks: mapOf(mapOf(() => {})),
  random: bulk(Uint8Array),
}

const requestTitles = {
  epochs: 'epochs',
  batchesPerEpoch: 'batches of an epoch',
  items: 'training items',
  lr: 'lr',
  wd: 'wd',
} as const satisfies Record<keyof FitRequest, string>

const statePrefix = '__learner__/state'
const gradientPrefix = '__learner__/gradient/'

/** Data stay the same through a fit, whose request is an object of its own. */
const fingerprints = new WeakMap<FitRequest, Promise<DataFingerprint>>()

function fingerprintOnce({ request, learner }: Fit): Promise<DataFingerprint> {
  const made = fingerprints.get(request) ?? fingerprintOf(learner.data)
  fingerprints.set(request, made)
  return made
}

/**
 * Writes all that a fit needs to go on from here. Takes place in a callback that runs after all others, at the end of a training
 * batch, of a batch of validation (which will be repeated) or of an epoch.
 */
export async function writeResumable(file: string, fit: Fit): Promise<void> {
  const { learner, state, callbacks, request } = fit
  if (state.event !== 'onBatchEnd' && state.event !== 'onEpochEnd') {
    throw new ConfigError(`a checkpoint can be taken in onBatchEnd and onEpochEnd, not in ${state.event}`)
  }
  const waiting = callbacks.waiting(state.event)
  if (waiting.length > 0) {
    throw new ConfigError(
      `a checkpoint is taken by a callback that runs after all others, but ${waiting.map((callback) => callback.constructor.name).join(', ')} ` +
        `would hear of ${state.event} after it. Give it the order Infinity`,
    )
  }
  const inValidation = state.event === 'onBatchEnd' && !state.train
  const saved: SavedFit = {
    request,
    position: state.position,
    layerGroups: namesInGroups(learner),
    trainable: trainableNames(learner),
    hyperParameters: learner.optimizer.hyperParameters,
    callbacks: callbacks.states(),
    steering: callbacks.steering(),
    random: getRngState(),
    trainDl: stateOf(learner.data.trainDl),
    validDl: (inValidation ? fit.validation : learner.data.validDl?.state?.()) as StateValue,
  }
  const gradients: Record<string, StateValue> = {}
  for (const [name, { accumulated }] of learner.model.namedParameters()) {
    if (accumulated) gradients[gradientPrefix + name] = accumulated
  }
  const [content, meaning, encoded, extra, data] = await Promise.all([
    describeLearner(learner, true),
    encodeMeaning(learner.data),
    encodeState(saved as StateValue, statePrefix),
    encodeState(Object.values(gradients), ''),
    fingerprintOnce(fit),
  ])
  const tensors = new Map([...content.tensors, ...encoded.arrays])
  for (const [i, name] of Object.keys(gradients).entries()) tensors.set(name, extra.arrays.get(`/${i}`)!)
  await writeLearnerFile(file, {
    tensors,
    header: { ...content.header, data: meaning, fit: { ...(encoded.json as object), data } },
  })
}

/** @throws ConfigError if the loader cannot tell where it stands */
export function stateOf(loader: BatchLoader): StateValue {
  if (!loader.state || !loader.loadState) {
    throw new ConfigError(
      'the training loader has no state() and loadState(), so that a checkpoint cannot tell where it stands. A DataLoader has them; ' +
        'SaveModelCallback saves the model without them',
    )
  }
  return loader.state() as StateValue
}

/**
 * The checkpoint meant by `path`: a path, or a name below the Learner's folder for models.
 * @throws CheckpointError that says where was looked
 */
export async function findResumable(learner: Learner, path: string): Promise<string> {
  const named = checkpointFile(learner, path)
  const places = [...new Set([path, join(learner.path, path), named].map((place) => resolve(place)))]
  for (const place of places) {
    const found = await stat(place).catch(() => undefined)
    if (found?.isFile()) return place
  }
  throw new CheckpointError(
    `there is no checkpoint "${path}": looked for ${places.join(', ')}. CheckpointCallback writes them`,
  )
}

function trainableNames({ model }: Learner): string[] {
  const trainable = model.namedParameters().filter(([, { requiresGrad }]) => requiresGrad)
  return trainable.map(([name]) => name)
}

function namesInGroups({ model, layerGroups }: Learner): string[][] {
  const names = new Map(model.namedParameters().map(([name, parameter]) => [parameter, name]))
  return layerGroups.map((group) => group.parameters().map((parameter) => names.get(parameter)!))
}

/** A checkpoint that has been read and whose model is in place: the next fit takes up the rest of it. */
export class Resumption {
  readonly file: string
  /** Whether a fit has gone on from it. */
  taken = false
  #content: LearnerFile

  private constructor(file: string, content: LearnerFile) {
    this.file = file
    this.#content = content
  }

  /**
   * Puts the model, what is frozen, and what the optimizer remembers in place.
   * @throws CheckpointError if the file does not fit the Learner, or was written while training on other data; nothing has changed then
   */
  static async read(file: string, learner: Learner): Promise<Resumption> {
    const content = await readLearnerFile(file)
    return honest(file, () => Resumption.#read(file, learner, content))
  }

  static async #read(file: string, learner: Learner, content: LearnerFile): Promise<Resumption> {
    if (content.header.fit === undefined) {
      throw new CheckpointError(
        `${file} holds a model, but no fit to go on with: those are written by CheckpointCallback. learner.load takes the model`,
      )
    }
    const resumption = new Resumption(file, content)
    if (!sameTensors(learner, content)) loadModel(file, learner, content, true) // which says what differs
    for (const [name, check] of Object.entries(checks)) check(resumption.#part(name as keyof SavedFit), name)
    await checkData(file, resumption.#part('data'), learner)
    checkGroups(file, resumption.#part('layerGroups'), namesInGroups(learner))
    checkGradients(learner, content)
    const wanted = new Set(resumption.#part('trainable'))
    const parameters = learner.model.namedParameters()
    const trained = new Set(parameters.filter(([name]) => wanted.has(name)).map(([, parameter]) => parameter))
    const optimizer = readOptimizer(file, learner, content, trained)
    like(learner.optimizer.hyperParameters)(resumption.#part('hyperParameters'), 'hyperParameters')
    loadModel(file, learner, content, true)
    for (const [name, parameter] of parameters) parameter.requiresGrad = wanted.has(name)
    learner.optimizer.regroup(learner.layerGroups)
    putOptimizer(learner, optimizer)
    return resumption
  }

  /** @throws CheckpointError if the fit was asked something else, or other layers are frozen */
  check(now: FitRequest, learner: Learner): void {
    honestNow(this.file, () => this.#check(now, learner))
  }

  #check(now: FitRequest, learner: Learner): void {
    if (trainableNames(learner).join() !== this.#part('trainable').join()) {
      throw new CheckpointError(
        `other parameters are frozen now than when ${this.file} was written. Learner.resume has frozen them as they were: do not ` +
          'freeze or unfreeze between it and the fit',
      )
    }
    const request = this.#part('request')
    const differing = (Object.keys(requestTitles) as (keyof FitRequest)[]).filter(
      (name) => JSON.stringify(request[name]) !== JSON.stringify(now[name]),
    )
    if (differing.length > 0) {
      const list = differing.map(
        (name) =>
          `${requestTitles[name]}: ${JSON.stringify(request[name]) ?? 'unknown'} then, ${JSON.stringify(now[name])} now`,
      )
      throw new CheckpointError(
        `this fit is not the one that ${this.file} was written in (${list.join('; ')}). Make the same call as before with the same ` +
          'data, and leave out the fits that were finished before it; to begin another fit with its model, use learner.load',
      )
    }
    const { epoch, midEpoch } = this.#part('position')
    count(midEpoch ? now.epochs - 1 : now.epochs)(epoch, 'position.epoch')
  }

  /** Callbacks have begun: they remember again, and the fit stands where it stood, whatever happened since `read`. */
  async enterFit(fit: Fit): Promise<void> {
    await honest(this.file, () => this.#enterFit(fit))
  }

  async #enterFit(fit: Fit): Promise<void> {
    const { learner } = fit
    const steering = this.#part('steering')
    mapOf(mapOf(() => {}))(steering ?? {}, 'steering')
    if (steering) fit.callbacks.checkSteering(steering)
    checkPosition(this.#part('position'), fit.state.batchesPerEpoch)
    loadModel(this.file, learner, this.#content, true)
    putOptimizer(learner, readOptimizer(this.file, learner, this.#content))
    await this.#takeUp(fit)
    // An epoch under way is finished before training stops.
    if (this.#part('position').midEpoch) fit.state.stopTraining = false
    this.taken = true
  }

  /** The epoch has begun again: what that has changed is put back. */
  async enterEpoch(fit: Fit): Promise<void> {
    if (this.#part('position').midEpoch) await honest(this.file, () => this.#takeUp(fit))
    fit.resumption = undefined
    this.#content = { tensors: new Map(), header: {} } // as large as the model
  }

  async #takeUp({ learner, state, callbacks }: Fit): Promise<void> {
    state.position = this.#part('position')
    learner.optimizer.hyperParameters = this.#part('hyperParameters')
    await scope(async () => callbacks.loadStates(this.#part('callbacks')))
    for (const [name, parameter] of learner.model.namedParameters()) {
      const raw = this.#content.tensors.get(gradientPrefix + name)
      parameter.grad = raw ? tensorLike(parameter, raw) : null
    }
    const [trainDl, validDl] = [this.#part('trainDl'), this.#part('validDl')]
    learner.data.trainDl.loadState?.(trainDl as object)
    if (validDl) learner.data.validDl?.loadState?.(validDl as object)
    setRngState(this.#part('random'))
  }

  #part<Name extends keyof SavedFit>(name: Name): SavedFit[Name] {
    const encoded = (this.#content.header.fit as Record<string, unknown>)[name]
    return decodeState(encoded, this.#content.tensors) as unknown as SavedFit[Name]
  }
}

function sameTensors({ model }: Learner, { tensors }: LearnerFile): boolean {
  return scope(() =>
    Object.entries(model.stateDict()).every(
      ([name, { shape }]) => tensors.get(name)?.shape.join() === shape.join(),
    ),
  )
}

/** A fit that goes on with other rows has seen those that are now for validation, and reads others than it has learned. */
async function checkData(file: string, then: DataFingerprint | undefined, learner: Learner): Promise<void> {
  if (then === undefined) return
  mapOf(text)(then, 'data')
  const differences = fingerprintDifferences(then, await fingerprintOf(learner.data))
  if (differences.length === 0) return
  throw new CheckpointError(
    `${file} was written while training on other data: ${differences.join('; ')}. Make the data as before: what is random about ` +
      'them, such as the split, is drawn anew each time unless they are given a `seed`. To begin another fit with the model, use learner.load',
  )
}

function checkGroups(file: string, then: string[][], now: string[][]): void {
  if (JSON.stringify(then) === JSON.stringify(now)) return
  const sizes = (groups: string[][]) => groups.map(({ length }) => length).join(', ')
  throw new CheckpointError(
    `${file} was written with ${then.length} layer group(s) of ${sizes(then)} parameters, the Learner has ${now.length} of ` +
      `${sizes(now)}: split the model as before`,
  )
}

/** The epoch is known to be one of the fit's. */
function checkPosition(position: FitPosition, batchesPerEpoch: number): void {
  const { epoch, midEpoch, trained, numBatch } = position
  // While an epoch is validated the batches are those of the validation, which begins again.
  if (!trained) count(midEpoch ? batchesPerEpoch : 0)(numBatch, 'position.numBatch')
  const begun = midEpoch ? (trained ? batchesPerEpoch : numBatch) : 0
  const batches = epoch * batchesPerEpoch + begun
  count(batches)(position.iteration, 'position.iteration')
  count(batches)(position.smoothing.count, 'position.smoothing.count')
}

function checkGradients({ model }: Learner, { tensors }: LearnerFile): void {
  const parameters = new Map(model.namedParameters())
  for (const [path, { shape }] of tensors) {
    if (!path.startsWith(gradientPrefix)) continue
    const name = path.slice(gradientPrefix.length)
    const expected = parameters.get(name)?.shape
    if (expected?.join() === shape.join()) continue
    throw new CheckpointError(
      `the checkpoint is damaged: it has a gradient [${shape.join(', ')}] of ${name}, ` +
        (expected ? `which is [${expected.join(', ')}]` : 'which the model does not have'),
    )
  }
}
