import { extname, isAbsolute, join } from 'node:path'
import { CheckpointError, ConfigError } from '../engine/errors.ts'
import { noGrad, scope } from '../engine/index.ts'
import { loadWeights } from '../io/index.ts'
import { tensorFromBytes } from '../io/tensorBytes.ts'
import type { LoadStateDictResult } from '../nn/index.ts'
import { checkMeaning, encodeMeaning } from './dataMeaning.ts'
import type { Learner } from './Learner.ts'
import { type LearnerFile, readLearnerFile, writeLearnerFile } from './learnerFile.ts'
import { addOptimizer, addTensor, putOptimizer, readOptimizer } from './optimizerFile.ts'

/** What loading found without a counterpart. All empty when everything matched. */
export interface LoadReport extends LoadStateDictResult {
  /** Parameters whose optimizer state is in the file, but which are not trained now (frozen): theirs was left aside. */
  optimizerStateUnused: string[]
  /** Whether the file had an optimizer's state, and it was taken over. */
  optimizerLoaded: boolean
}

/** Where a model of that name is kept: below the Learner's folder for models, unless the name is an absolute path. */
export function checkpointFile({ path, modelDir }: Learner, name: string): string {
  if (typeof name !== 'string' || name === '') {
    throw new ConfigError(`a model is saved under a name, got ${JSON.stringify(name)}`)
  }
  const file = ['.safetensors', '.pth', '.pt'].includes(extname(name)) ? name : `${name}.safetensors`
  return isAbsolute(file) ? file : join(path, modelDir, file)
}

/** The model, and what the optimizer remembers, as they are now: all reads are queued before the first is awaited. */
export async function describeLearner(learner: Learner, withOptimizer: boolean): Promise<LearnerFile> {
  const file: LearnerFile = { tensors: new Map(), header: {} }
  const model = learner.model.stateDict()
  try {
    const reads = Object.entries(model).map(([name, tensor]) => addTensor(file, name, tensor))
    if (withOptimizer) reads.push(addOptimizer(learner, file))
    await Promise.all(reads)
    // In the model's order, whoever was read first.
    const ordered = Object.keys(model).map((name) => [name, file.tensors.get(name)!] as const)
    return { ...file, tensors: new Map([...ordered, ...file.tensors]) }
  } finally {
    for (const alias of Object.values(model)) alias[Symbol.dispose]()
  }
}

export async function writeCheckpoint(file: string, learner: Learner, withOptimizer: boolean): Promise<void> {
  const [{ tensors, header }, data] = await Promise.all([
    describeLearner(learner, withOptimizer),
    encodeMeaning(learner.data),
  ])
  await writeLearnerFile(file, { tensors, header: { ...header, data } })
}

export interface ReadCheckpointOptions {
  strict: boolean
  withOptimizer: boolean
}

/** Everything is compared before anything is changed. */
export async function readCheckpoint(
  file: string,
  learner: Learner,
  options: ReadCheckpointOptions,
): Promise<LoadReport> {
  if (extname(file) !== '.safetensors') {
    const names = await loadWeights(learner.model, file, { strict: options.strict })
    return { ...names, optimizerLoaded: false, optimizerStateUnused: [] }
  }
  const content = await readLearnerFile(file)
  if (options.strict) checkMeaning(file, content, learner.data)
  const optimizer =
    options.withOptimizer && content.header.optimizer ? readOptimizer(file, learner, content) : undefined
  const loaded = loadModel(file, learner, content, options.strict)
  if (optimizer) putOptimizer(learner, optimizer)
  return {
    ...loaded,
    optimizerLoaded: optimizer !== undefined,
    optimizerStateUnused: optimizer?.unused ?? [],
  }
}

/** @throws CheckpointError that names the file and lists what does not match; nothing has changed then */
export function loadModel(
  file: string,
  { model }: Learner,
  { tensors }: LearnerFile,
  strict: boolean,
): LoadStateDictResult {
  try {
    return noGrad(() =>
      scope(() => {
        const own = [...tensors].filter(([name]) => !/^__(optimizer|learner)__\//.test(name))
        const state = own.map(([name, raw]) => [name, tensorFromBytes(raw, `${file}: tensor "${name}"`)])
        return model.loadStateDict(Object.fromEntries(state), { strict })
      }),
    )
  } catch (error) {
    if (!(error instanceof CheckpointError) || error.message.includes(file)) throw error
    throw new CheckpointError(`${file}: ${error.message}`, { cause: error })
  }
}
