import { GradientAccumulation } from '../../callbacks/GradientAccumulation.ts'
import { LossScaling } from '../../callbacks/LossScaling.ts'
import { MixedPrecision } from '../../callbacks/MixedPrecision.ts'
import { ConfigError } from '../engine/errors.ts'
import { Tensor } from '../engine/index.ts'
import { Recording } from '../engine/recording.ts'
import { engineState, type TensorScope } from '../engine/state.ts'
import { usedWithin } from '../engine/tensor.ts'
import type { Callback } from './Callback.ts'
import { CompiledFields, describe, fieldsOf, isSame } from './CompiledFields.ts'
import { type CompiledKey, compiledKey } from './compiledKey.ts'
import { eachOf, type Input, isTensorList, type Output, type Target, tensorsOf } from './data.ts'
import { forward } from './evaluate.ts'
import type { Fit } from './loop.ts'
import { computeLoss } from './lossFunction.ts'

/** One recorded pass, with the memory that it reads and writes. */
interface Pass {
  key: CompiledKey
  recording: Recording
  fields: CompiledFields
  input: Tensor[]
  target: Tensor[]
  output: Output
  loss: Tensor
  /** Of each parameter that the optimizer has. */
  gradients: (readonly [Tensor, Tensor | null])[]
}

/** Batches beyond these kinds are run without recording: each holds the memory of a whole pass. */
const mostPasses = 4

/** Kinds of batches that are remembered for having come once. */
const mostSeen = 64

/** The callbacks that may take part in what is recorded: what they do depends on the batch's shape alone. */
const recordable = (callback: Callback) =>
  callback instanceof MixedPrecision || callback instanceof LossScaling

/**
 * Forward pass, loss and backward pass of training batches, recorded for each shape of batch when it comes a second time and
 * repeated from then on: see `Learner.compile`. What was recorded is repeated only where all that decided it is as it was then
 * ({@link compiledKey}), and only in the fit that recorded it.
 */
export class CompiledStep {
  readonly #passes = new Set<Pass>()
  readonly #seen: CompiledKey[] = []
  #memory: readonly unknown[] = []
  /** The pass of the running batch. */
  #latest: Pass | undefined

  /**
   * Runs both passes of the batch by a recording, if it can, up to the gradients, and returns the loss, which the next batch
   * overwrites; output and loss are then in the fit's state, as copies. Null if the loop must do it. Listeners to what lies
   * between (`onLossBegin`, `onBackwardBegin`) are not told here.
   */
  run(fit: Fit): Tensor | null {
    const { learner, state, callbacks } = fit
    // Where gradients add up over batches, no pass is like the one before.
    if (callbacks.callbacks.some((callback) => callback instanceof GradientAccumulation)) return null
    const input = tensorList(state.lastInput)
    const target = tensorList(state.lastTarget)
    const params = learner.optimizer.parameters()
    if (input === null || target === null || params.some(({ accumulated }) => accumulated !== null))
      return null
    const key = compiledKey(fit, [...input, ...target])
    this.#keepTo(key)
    if (key.isHooked) return null
    let pass = [...this.#passes].find((known) => isOf(known.key, key))
    if (pass?.fields.areThere === false) {
      this.#drop(pass)
      pass = undefined
    }
    if (pass === undefined) {
      if (!this.#isDue(key)) return null
      pass = record(fit, key, input, target, params)
      this.#passes.add(pass)
    } else {
      for (const [i, tensor] of pass.input.entries()) tensor.copy_(input[i]!)
      for (const [i, tensor] of pass.target.entries()) tensor.copy_(target[i]!)
      pass.recording.replay()
      pass.fields.write()
    }
    for (const [param, gradient] of pass.gradients) param.accumulated = gradient
    const { output, loss } = pass
    const { scope } = engineState()
    state.showLater(
      () => eachOf(output, (tensor) => copyIn(scope, tensor)),
      () => copyIn(scope, loss),
    )
    state.hasGradients = true
    this.#latest = pass
    return loss
  }

  /** Lets those who only look see what was made. @throws ConfigError for who changes what has been computed already */
  async tell({ state, callbacks }: Fit): Promise<void> {
    const isTold = (callback: Callback) =>
      !recordable(callback) && (callback.onLossBegin ?? callback.onBackwardBegin) !== undefined
    if (!callbacks.callbacks.some(isTold)) return
    const { lastOutput, lastLoss } = state
    const gradients = this.#latest?.gradients ?? []
    for (const event of ['onLossBegin', 'onBackwardBegin'] as const) {
      await callbacks.emit(event, (callback) => !recordable(callback))
      const isAsBefore = state.lastOutput === lastOutput && state.lastLoss === lastLoss && !state.skipBackward
      if (!isAsBefore || gradients.some(([param, gradient]) => param.accumulated !== gradient)) {
        throw new ConfigError(
          `compile: a callback changes what is computed in ${event}, which is recorded and done by then; ` +
            'train without compile(), or make the change part of the model or the loss',
        )
      }
    }
  }

  /** What was recorded of the model as it was before (others of its layers frozen, another dtype) is of no use any more. */
  #keepTo({ memory }: CompiledKey): void {
    if (isSame(memory, this.#memory)) return
    this.dispose()
    this.#memory = memory
  }

  /** Whether a batch of this kind is to be recorded. The first one makes what is made once: states, plans, caches. */
  #isDue(key: CompiledKey): boolean {
    // Kinds of another loss or mode may never come again.
    const others = [...this.#passes].filter((pass) => !isSame(pass.key.settings, key.settings))
    const came = this.#seen.some((known) => isOf(known, key))
    if (came && this.#passes.size >= mostPasses) for (const pass of others) this.#drop(pass)
    if (came) return this.#passes.size < mostPasses
    this.#seen.push(key)
    if (this.#seen.length > mostSeen) this.#seen.shift()
    return false
  }

  /** Frees a pass: it is recorded anew when two batches of its kind have come again. */
  #drop(pass: Pass): void {
    this.#passes.delete(pass)
    const at = this.#seen.findIndex((known) => isOf(known, pass.key))
    if (at >= 0) this.#seen.splice(at, 1)
    const { recording, input, target, output, loss, gradients } = pass
    for (const tensor of [...input, ...target, ...tensorsOf(output), loss]) tensor.dispose()
    for (const [, gradient] of gradients) gradient?.dispose()
    recording.dispose()
  }

  /** How many kinds of batches are recorded now. */
  get recordings(): number {
    return this.#passes.size
  }

  /** Frees what was recorded. */
  dispose(): void {
    for (const pass of this.#passes) this.#drop(pass)
    this.#seen.length = 0
    this.#memory = []
    this.#latest = undefined
  }
}

/** A copy that lives as long as the batch, wherever it is asked for: a callback may keep it, and the next batch not change it. */
function copyIn(scope: TensorScope | null, tensor: Tensor): Tensor {
  const copy = tensor.clone()
  copy.moveTo(scope)
  return copy
}

/** Whether both are of one kind of batch; `memory` is compared before. */
function isOf(one: CompiledKey, other: CompiledKey): boolean {
  return isSame(one.batch, other.batch) && isSame(one.settings, other.settings)
}

function tensorList(value: Input | Target): Tensor[] | null {
  const list = value instanceof Tensor ? [value] : value
  return Array.isArray(list) && list.every((item) => item instanceof Tensor) ? (list as Tensor[]) : null
}

function record(
  fit: Fit,
  key: CompiledKey,
  input: readonly Tensor[],
  target: readonly Tensor[],
  params: readonly Tensor[],
): Pass {
  const { learner, state, callbacks } = fit
  const own = {
    input: input.map((tensor) => tensor.clone().keep()),
    target: target.map((tensor) => tensor.clone().keep()),
  }
  const given = { lastInput: state.lastInput, lastTarget: state.lastTarget }
  const like = <Value extends Input | Target>(value: Value, tensors: Tensor[]): Value =>
    (value instanceof Tensor ? tensors[0]! : tensors) as Value
  const before = fieldsOf(key.owners)
  describe(before)
  let made: Recording | undefined
  try {
    state.lastInput = like(given.lastInput, own.input)
    state.lastTarget = like(given.lastTarget, own.target)
    const pass = () => {
      state.lastOutput = forward(learner.model, state)
      callbacks.emitNow('onLossBegin', recordable)
      const output = state.lastOutput
      if (!(output instanceof Tensor || isTensorList(output))) {
        throw new ConfigError(
          'compile takes a model whose forward gives a tensor or a list of tensors; train without compile()',
        )
      }
      for (const tensor of tensorsOf(output)) tensor.keep()
      const loss = computeLoss(learner.lossFunction, output, state.lastTarget).keep()
      state.lastLoss = loss
      callbacks.emitNow('onBackwardBegin', recordable)
      state.lastLoss.backward()
      return { output, loss }
    }
    const {
      result: { recording, result },
      used,
    } = usedWithin(() => Recording.of(pass))
    made = recording
    if (recording.readsValues) {
      throw new ConfigError(
        'compile: the model or the loss reads a tensor (item(), data(), equal(), a mask as an index, nonzero(), unique() …) in its ' +
          'forward pass, and a recording does not repeat what follows from the values. Use where() or maskedFill() for ' +
          'masks, or train without compile()',
      )
    }
    const fields = new CompiledFields(before, used)
    const gradients = params.map((param) => {
      const { accumulated } = param
      if (accumulated === null) return [param, null] as const
      accumulated.exposed = true // zeroGrad leaves it alone
      return [param, accumulated.keep()] as const
    })
    return {
      key,
      recording,
      fields,
      ...own,
      output: eachOf(result.output, (tensor) => tensor.detach().keep()),
      loss: result.loss.detach().keep(),
      gradients,
    }
  } catch (error) {
    made?.dispose()
    for (const tensor of [...own.input, ...own.target]) tensor.dispose()
    throw error
  } finally {
    Object.assign(state, given)
  }
}
