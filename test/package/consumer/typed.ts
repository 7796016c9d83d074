// TypeScript: the declaration files as a user's compiler sees them, and a Learner.
import assert from 'node:assert/strict'
import {
  AnnealError,
  type BatchEndContext,
  Callback,
  DataBunch,
  Learner,
  manualSeed,
  metrics,
  nn,
  optim,
  randn,
  type Tensor,
  TensorDataset,
  tensor,
} from 'anneal'
import { EarlyStoppingCallback, SaveModelCallback } from 'anneal/callbacks'

class Classifier extends nn.Module {
  hidden = new nn.Linear(2, 32)
  head = new nn.Linear(32, 2)
  forward(x: Tensor): Tensor {
    return this.head.forward(this.hidden.forward(x).relu())
  }
}

class CountSteps extends Callback {
  steps = 0
  onBatchEnd(context: BatchEndContext) {
    if (context.train) this.steps++
  }
}

manualSeed(0)
const points = randn([400, 2])
const labels = points.index(':', 0).mul(points.index(':', 1)).gt(0).long()
const dataset = (rows: string) => new TensorDataset(points.index(rows), labels.index(rows))
const data = DataBunch.create(dataset(':320'), dataset('320:'), { batchSize: 32, shuffle: true, seed: 1 })
const counter = new CountSteps()
const learner = new Learner(data, new Classifier(), {
  lossFunction: new nn.CrossEntropyLoss(),
  optimizer: optim.AdamW,
  metrics: [metrics.accuracy],
  callbacks: [counter],
  path: 'models-of-the-test',
  silent: true,
})
await learner.fitOneCycle(12, {
  maxLr: 0.03,
  callbacks: [
    new SaveModelCallback({ monitor: 'accuracy', name: 'best' }),
    new EarlyStoppingCallback({ patience: 12 }),
  ],
})
const { accuracy } = await learner.validate()
assert.ok(accuracy !== undefined && accuracy !== null && accuracy > 0.9, `accuracy is ${accuracy}`)
assert.equal(counter.steps, 12 * 10)

let failure: unknown
try {
  points.matmul(labels.to('float32').view(2, 200))
  points.matmul(points)
} catch (error) {
  failure = error
}
assert.ok(failure instanceof AnnealError && failure.code === 'SHAPE')

// Names of metrics of one's own, made known to the compiler.
declare module 'anneal' {
  interface MetricNames {
    diceScore: true
  }
}
assert.ok(new SaveModelCallback({ monitor: 'diceScore' }))

class Misspelt extends Callback {
  onBatchEnded() {}
}

// What must not compile. A directive that finds no error below it is an error itself.
export function mistakes(): void {
  // @ts-expect-error no such method
  points.reluu()
  // @ts-expect-error no such monitor
  new SaveModelCallback({ monitor: 'acuracy' })
  // @ts-expect-error no such option
  new optim.Adam(learner.model.parameters(), { learningRate: 0.1 })
  // @ts-expect-error no such option
  void learner.fitOneCycle(1, { maxLR: 0.1 })
  // @ts-expect-error no such dtype
  tensor([1, 2], { dtype: 'float23' })
  // @ts-expect-error no such event
  learner.callbacks.push(new Misspelt())
}
console.log('ok')
