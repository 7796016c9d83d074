import { GradientAccumulation } from '../../callbacks/GradientAccumulation.ts'
import { LossScaling } from '../../callbacks/LossScaling.ts'
import { MixedPrecision } from '../../callbacks/MixedPrecision.ts'
import { tf32 } from '../engine/device.ts'
import { ConfigError } from '../engine/errors.ts'
import { Tensor } from '../engine/index.ts'
import { Recording } from '../engine/recording.ts'
import type { Callback } from './Callback.ts'
import type { Input, Target } from './data.ts'
import { forward } from './evaluate.ts'
import type { AnyModule } from './layerGroups.ts'
import type { Fit } from './loop.ts'
import { computeLoss } from './lossFunction.ts'

/** One recorded pass, with the memory that it reads and writes. */
interface Pass {
  recording: Recording
  input: Tensor[]
  target: Tensor[]
  output: Tensor
  loss: Tensor
  gradients: (Tensor | null)[]
}

/** Shapes beyond these are run without recording: each holds the memory of a whole pass. */
const mostPasses = 4

/** The callbacks that may take part in what is recorded: what they do depends on the batch's shape alone. */
const recordable = (callback: Callback) =>
  callback instanceof MixedPrecision || callback instanceof LossScaling

/**
 * Forward pass, loss and backward pass of training batches, recorded for each shape of batch when it comes a second time and
 * repeated from then on: see `Learner.compile`.
 */
export class CompiledStep {
  readonly #passes = new Map<string, Pass>()
  readonly #seen = new Set<string>()
  #model = ''

  /**
   * Runs both passes of the batch by a recording, if it can, up to the gradients: output and loss are then in the fit's state.
   * False if the loop must do it. Listeners to what lies between (`onLossBegin`, `onBackwardBegin`) are not told here.
   */
  run(fit: Fit): boolean {
    const { learner, state, callbacks } = fit
    // Where gradients add up over batches, no pass is like the one before.
    if (callbacks.callbacks.some((callback) => callback instanceof GradientAccumulation)) return false
    const input = tensorList(state.lastInput)
    const target = tensorList(state.lastTarget)
    const params = learner.optimizer.parameters()
    if (input === null || target === null || params.some(({ accumulated }) => accumulated !== null))
      return false
    this.#keepTo(modelKey(learner.model))
    const key = passKey(fit, [...input, ...target])
    let pass = this.#passes.get(key)
    if (pass === undefined) {
      // The first batch of a shape makes what is made once: states, plans, caches.
      if (!this.#seen.has(key) || this.#passes.size >= mostPasses) {
        this.#seen.add(key)
        return false
      }
      pass = record(fit, input, target, params)
      this.#passes.set(key, pass)
    } else {
      for (const [i, tensor] of pass.input.entries()) tensor.copy_(input[i]!)
      for (const [i, tensor] of pass.target.entries()) tensor.copy_(target[i]!)
      pass.recording.replay()
    }
    for (const [i, param] of params.entries()) param.accumulated = pass.gradients[i] ?? null
    state.lastOutput = pass.output
    state.lastLoss = pass.loss
    state.hasGradients = true
    return true
  }

  /** Lets those who only look see what was made. @throws ConfigError for who changes what has been computed already */
  async tell({ state, callbacks }: Fit): Promise<void> {
    const { lastOutput, lastLoss } = state
    for (const event of ['onLossBegin', 'onBackwardBegin'] as const) {
      await callbacks.emit(event, (callback) => !recordable(callback))
      if (state.lastOutput !== lastOutput || state.lastLoss !== lastLoss || state.skipBackward) {
        throw new ConfigError(
          `compile: a callback changes what is computed in ${event}, which is recorded and done by then; ` +
            'train without compile(), or make the change part of the model or the loss',
        )
      }
    }
  }

  /** What was recorded of the model as it was before (others of its layers frozen, another dtype) is of no use any more. */
  #keepTo(model: string): void {
    if (model === this.#model) return
    this.dispose()
    this.#model = model
  }

  /** Frees what was recorded. */
  dispose(): void {
    for (const { recording, input, target, output, loss, gradients } of this.#passes.values()) {
      for (const tensor of [...input, ...target, output, loss, ...gradients]) tensor?.dispose()
      recording.dispose()
    }
    this.#passes.clear()
    this.#seen.clear()
  }
}

function tensorList(value: Input | Target): Tensor[] | null {
  const list = value instanceof Tensor ? [value] : value
  return Array.isArray(list) && list.every((item) => item instanceof Tensor) ? (list as Tensor[]) : null
}

/** All of a model that decides which ops run; a parameter that lies elsewhere by now has another handle. */
function modelKey(model: AnyModule): string {
  const params = model.parameters().map((param) => `${param.liveHandle()}${param.requiresGrad ? '' : '-'}`)
  const modes = model.modules().map(({ training }) => Number(training))
  return `${params.join()};${modes.join('')}`
}

/** What else decides it: where this differs, a pass is recorded apart. */
function passKey({ state }: Fit, tensors: readonly Tensor[]): string {
  const shapes = tensors.map(({ shape, strides, dtype, device }) => `${dtype}[${shape}](${strides})${device}`)
  return [shapes.join(), state.autocast ?? '', tf32.allowed].join(';')
}

function record(
  fit: Fit,
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
  try {
    state.lastInput = like(given.lastInput, own.input)
    state.lastTarget = like(given.lastTarget, own.target)
    const { recording, result } = Recording.of(() => {
      state.lastOutput = forward(learner.model, state)
      callbacks.emitNow('onLossBegin', recordable)
      const output = state.lastOutput.keep()
      const loss = computeLoss(learner.lossFunction, output, state.lastTarget).keep()
      state.lastLoss = loss
      callbacks.emitNow('onBackwardBegin', recordable)
      state.lastLoss.backward()
      return { output, loss }
    })
    if (recording.readsValues) {
      recording.dispose()
      throw new ConfigError(
        'compile: the model or the loss reads a tensor (item(), data(), dataSync()) in its forward pass, ' +
          'which a recording does not repeat; train without compile()',
      )
    }
    const gradients = params.map(({ accumulated }) => {
      if (accumulated === null) return null
      accumulated.exposed = true // zeroGrad leaves it alone
      return accumulated.keep()
    })
    return {
      recording,
      ...own,
      output: result.output.detach().keep(),
      loss: result.loss.detach().keep(),
      gradients,
    }
  } finally {
    Object.assign(state, given)
  }
}
