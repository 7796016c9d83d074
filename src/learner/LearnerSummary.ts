import { scope, zeros } from '../engine/index.ts'
import { ModuleSummary } from '../nn/summary.ts'
import { type Batch, tensorsOf } from './data.ts'
import type { Learner } from './Learner.ts'

/** The model's layers, and what the Learner trains them with. Prints as a table. */
export class LearnerSummary extends ModuleSummary {
  /** Optimizer, weight decay, loss, layer groups and callbacks, as they are printed. */
  readonly details: readonly string[]

  constructor({ title, rows, parameters, trainable }: ModuleSummary, details: readonly string[]) {
    super(title, rows, parameters, trainable)
    this.details = details
  }

  override toString(): string {
    return [super.toString(), '', ...this.details].join('\n')
  }
}

/** Passes zeros shaped as one item of the data, in all its inputs, through the model. */
export async function summarizeLearner(
  learner: Learner,
  firstBatch: () => Promise<Batch>,
): Promise<LearnerSummary> {
  const { model, optimizer, lossFunction, layerGroups, trueWd, bnWd, wd, callbacks } = learner
  const inputs = await scope(async () =>
    tensorsOf((await firstBatch()).x).map(({ shape, dtype }) => ({ shape: [1, ...shape.slice(1)], dtype })),
  )
  const summary = scope(() => model.summary(inputs.map(({ shape, dtype }) => zeros(shape, { dtype }))))
  const loss =
    typeof lossFunction === 'function' ? lossFunction.name || 'a function' : lossFunction.constructor.name
  const names = callbacks.map((callback) => callback.constructor.name)
  return new LearnerSummary(summary, [
    `optimizer: ${optimizer.inner.constructor.name}, weight decay ${wd} ${trueWd ? 'apart from' : 'through'} the gradient` +
      `${bnWd ? '' : ', not of normalisation and biases'}`,
    `loss: ${loss}`,
    `layer groups: ${layerGroups.map(({ length }) => `${length} layers`).join(', ')}`,
    `callbacks: ${names.join(', ') || 'none of its own'}`,
  ])
}
