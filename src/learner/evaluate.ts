import { autocast, getRngState, noGrad, setRngState } from '../engine/index.ts'
import type * as nn from '../nn/index.ts'
import type { CallbackHandler } from './CallbackHandler.ts'
import { CancelBatch, leftBy } from './cancel.ts'
import { type Batch, type BatchLoader, type Output, tensorsOf } from './data.ts'
import { eachBatch } from './eachBatch.ts'
import type { FitState } from './FitState.ts'
import type { Learner } from './Learner.ts'
import type { AnyModule } from './layerGroups.ts'
import { computeLoss } from './lossFunction.ts'
import { type Metric, updateMetric } from './Metric.ts'

export interface Evaluation {
  learner: Learner
  state: FitState
  callbacks: CallbackHandler
  metrics: readonly Metric[]
  /** Sees each batch after its metrics, while its tensors are alive. */
  onBatch?: (state: FitState, batch: Batch) => void | Promise<void>
}

export interface EvaluationResult {
  /** Mean over the samples; null if there were none. */
  loss: number | null
  /** By name; null if there were no samples. */
  metrics: Record<string, number | null>
}

/**
 * One pass over a loader without training: loss and metrics. Callbacks hear of the batches, with `train` false. The model is in
 * evaluation mode meanwhile, and afterwards each module in the mode that it had.
 */
export async function evaluate(evaluation: Evaluation, loader: BatchLoader): Promise<EvaluationResult> {
  const { learner, state, callbacks, metrics } = evaluation
  const runs = metrics.map((metric) => metric.begin())
  let lossSum = 0
  let samples = 0

  const evaluateBatch = async (batch: Batch): Promise<void> => {
    await callbacks.emit('onBatchBegin')
    state.lastOutput = noGrad(() => forward(learner.model, state))
    await callbacks.emit('onLossBegin')
    state.lastLoss = noGrad(() => computeLoss(learner.lossFunction, state.lastOutput, state.lastTarget))
    const size = state.batchSize
    const updates = runs.map((run, i) =>
      updateMetric(metrics[i]!.name, run, state.lastOutput, state.lastTarget, size),
    )
    const [loss] = await Promise.all([state.lastLoss.data(), ...updates])
    state.lossValue = Number(loss[0])
    lossSum += state.lossValue * size
    samples += size
    await evaluation.onBatch?.(state, batch)
  }

  seedAside(loader)
  state.beginPass(false)
  await inEvalMode(learner.model, async () => {
    await eachBatch(loader, async (batch) => {
      state.beginBatch(batch)
      try {
        state.cancelled = await leftBy(CancelBatch, () => evaluateBatch(batch))
        await leftBy(CancelBatch, () => callbacks.emit('onBatchEnd'))
      } finally {
        state.endBatch()
      }
      return state.stopEpoch ? 'enough' : undefined
    })
  })
  const values = await Promise.all(runs.map((run) => (samples > 0 ? run.value() : null)))
  return {
    loss: samples > 0 ? lossSum / samples : null,
    metrics: Object.fromEntries(metrics.map(({ name }, i) => [name, values[i]!])),
  }
}

/** A loader that has no seed yet draws it, but what training draws afterwards is what it would have been. */
function seedAside(loader: BatchLoader): void {
  const random = getRngState()
  loader.state?.()
  setRngState(random)
}

/** The model's answer to the batch's input. */
export function forward(model: AnyModule, state: FitState): Output {
  const run = () => model.forward(...(tensorsOf(state.lastInput) as never[])) as Output
  return state.autocast ? autocast(state.autocast, run) : run()
}

/** An evaluation of a model that is under way, or several of them that overlap. */
interface UnderWay {
  runs: number
  modes: readonly (readonly [module: nn.Module, training: boolean])[]
  over: Promise<void>
  end(): void
}

const underWay = new WeakMap<AnyModule, UnderWay>()

/** Runs `body` with the model in evaluation mode; each module then has the mode back that it had. */
export async function inEvalMode<Result>(model: AnyModule, body: () => Promise<Result>): Promise<Result> {
  const evaluation = underWay.get(model) ?? beginOf(model)
  evaluation.runs++
  model.eval()
  try {
    return await body()
  } finally {
    if (--evaluation.runs === 0) {
      underWay.delete(model)
      for (const [module, training] of evaluation.modes) module.training = training
      evaluation.end()
    }
  }
}

function beginOf(model: AnyModule): UnderWay {
  let end = () => {}
  const over = new Promise<void>((resolve) => {
    end = resolve
  })
  const modes = model.modules().map((module) => [module, module.training] as const)
  const evaluation = { runs: 0, modes, over, end }
  underWay.set(model, evaluation)
  return evaluation
}

/**
 * Undefined, or what training waits for: somebody looks at the model in evaluation mode, since predicting or validating was begun
 * during the fit and is not awaited.
 */
export function evaluationOf(model: AnyModule): Promise<void> | undefined {
  return underWay.get(model)?.over
}
