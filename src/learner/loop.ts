import type { Tensor, TensorData } from '../engine/index.ts'
import type { CallbackHandler } from './CallbackHandler.ts'
import { CancelBatch, CancelEpoch, CancelFit, CancelValidation, leftBy } from './cancel.ts'
import type { Batch, BatchLoader } from './data.ts'
import { eachBatch } from './eachBatch.ts'
import { evaluate, evaluationOf, forward } from './evaluate.ts'
import type { FitState } from './FitState.ts'
import type { Learner } from './Learner.ts'
import { computeLoss } from './lossFunction.ts'
import type { Metric } from './Metric.ts'
import type { FitRequest, Resumption } from './resume.ts'

/** A fit under way: who takes part in it. */
export interface Fit {
  learner: Learner
  /** Brings the training batches where batch sizes are tried. Else that of the data does, which callbacks may change. */
  loader?: BatchLoader | undefined
  state: FitState
  callbacks: CallbackHandler
  metrics: readonly Metric[]
  /** What the caller asked for. */
  request: FitRequest
  /** Where the validation loader stood when the running validation began. */
  validation?: object | undefined
  /** The checkpoint that the fit goes on from, if it does. */
  resumption?: Resumption | undefined
}

/** The training loop. All that is not here is a callback. */
export async function runFit(fit: Fit): Promise<void> {
  const { learner, state, callbacks } = fit
  try {
    await callbacks.begin()
    state.beginFit()
    await fit.resumption?.enterFit(fit)
    while (state.epoch < state.epochs && !state.stopTraining) {
      await leftBy(CancelEpoch, () => runEpoch(fit))
      state.endEpoch()
      await callbacks.emit('onEpochEnd')
      state.epoch++
    }
  } catch (error) {
    if (!(error instanceof CancelFit)) state.exception = error
    // Also those of whole batches, which were to add up with others that do not come any more.
    learner.model.zeroGrad()
  }
  await end(fit)
}

async function runEpoch(fit: Fit): Promise<void> {
  const { learner, state, callbacks } = fit
  state.beginEpoch()
  await nobodyEvaluates(fit)
  learner.model.train()
  await callbacks.emit('onEpochBegin')
  await fit.resumption?.enterEpoch(fit)
  if (!state.trained) await train(fit)
  state.trained = true
  const { validDl } = learner.data
  if (state.skipValidate || !validDl) return
  fit.validation = validDl.state?.()
  await leftBy(CancelValidation, async () => {
    const { loss, metrics } = await evaluate(fit, validDl)
    state.lastMetrics = { ...state.lastMetrics, validLoss: loss, ...metrics }
  })
}

async function train(fit: Fit): Promise<void> {
  const { learner, state, callbacks } = fit
  const runBatch = async (batch: Batch) => {
    state.beginBatch(batch)
    try {
      state.cancelled = await leftBy(CancelBatch, () => withoutRemains(fit, trainBatch))
      await leftBy(CancelBatch, () => callbacks.emit('onBatchEnd'))
    } finally {
      state.endBatch()
    }
    return state.stopEpoch ? 'enough' : undefined
  }
  await eachBatch(fit.loader ?? learner.data.trainDl, runBatch, state.stopEpoch)
  await stepWithRest(fit)
}

async function trainBatch(fit: Fit): Promise<void> {
  const { learner, state, callbacks } = fit
  const { model, lossFunction, compiled } = learner
  await callbacks.emit('onBatchBegin')
  await nobodyEvaluates(fit)
  let loss: Promise<TensorData>
  const recorded = compiled?.run(fit)
  if (recorded) {
    loss = readAhead(recorded)
    await compiled!.tell(fit)
  } else {
    state.lastOutput = forward(model, state)
    await callbacks.emit('onLossBegin')
    state.lastLoss = computeLoss(lossFunction, state.lastOutput, state.lastTarget)
    loss = readAhead(state.lastLoss)
    await callbacks.emit('onBackwardBegin')
    if (!state.skipBackward) state.backward()
  }
  await step(fit)
  state.addTrainLoss(Number((await loss)[0]))
}

/** Training goes on where a `predict` or `validate` from outside the fit has put the model back into its mode. */
async function nobodyEvaluates({ learner: { model } }: Fit): Promise<void> {
  for (let evaluation = evaluationOf(model); evaluation; evaluation = evaluationOf(model)) await evaluation
}

/** Gradients are there. */
async function step({ learner: { optimizer }, state, callbacks }: Fit): Promise<void> {
  await callbacks.emit('onBackwardEnd')
  if (!state.skipStep) optimizer.step()
  await callbacks.emit('onStepEnd')
  if (!state.skipZero) optimizer.zeroGrad()
}

/** Gradients that wait for batches which did not come, as the last was cancelled or could not be read, make their step now. */
async function stepWithRest(fit: Fit): Promise<void> {
  const { state, callbacks } = fit
  const wasLeft = state.stopEpoch && state.numBatch < state.batchesPerEpoch
  if (wasLeft || !callbacks.callbacks.some((callback) => callback.finishesGroup?.())) return
  state.beginRest()
  await leftBy(CancelBatch, () => withoutRemains(fit, step))
}

/** However a batch is left in the middle, its gradients are not added to those of the next one. */
async function withoutRemains(fit: Fit, body: (fit: Fit) => Promise<void>): Promise<void> {
  try {
    await body(fit)
  } catch (error) {
    if (fit.state.hasGradients) fit.learner.optimizer.zeroGrad()
    throw error
  }
}

/** The value is on its way while the rest of the step is computed. If that fails, nobody asks for it any more. */
function readAhead(loss: Tensor): Promise<TensorData> {
  const value = loss.dataAhead()
  value.catch(() => {})
  return value
}

/** Everyone who began is told; then errors go out, the first one as it is. */
async function end(fit: Fit): Promise<void> {
  const { learner, state, callbacks } = fit
  await nobodyEvaluates(fit)
  learner.model.eval()
  const errors = await callbacks.end()
  if (state.exception !== undefined) errors.unshift(state.exception)
  for (const error of errors.slice(1))
    process.emitWarning(`also failed at the end of the fit: ${String(error)}`)
  if (errors.length > 0) throw errors[0]
}
