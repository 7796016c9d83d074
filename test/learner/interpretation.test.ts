import { describe, expect, it } from 'vitest'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { DataError } from '../../src/engine/errors.ts'
import { type Tensor, tensor } from '../../src/engine/index.ts'
import { ClassificationInterpretation, Learner, type LossFunction } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'

const logits = [
  [3, 0, 1],
  [0, 2, 0],
  [1, 0, 4],
  [5, 1, 1],
  [0, 3, 1],
]

/** Answers with its inputs, which are {@link logits}. */
function judge(targets: number[], lossFunction: LossFunction, classes?: string[]) {
  const dataset = new TensorDataset(tensor(logits), tensor(targets, { dtype: 'int64' }))
  const loader = new DataLoader(dataset, { batchSize: 2 })
  const data = { trainDl: loader, validDl: loader, ...(classes && { classes }) }
  return new Learner(data, new nn.Identity(), { lossFunction, silent: true })
}

const softmax = (row: number[], label: number) =>
  Math.exp(row[label]!) / row.reduce((sum, value) => sum + Math.exp(value), 0)

describe('learner.interpret', () => {
  it.each([-1, -100, 2])('leaves out what the loss ignores: %s', async (ignoreIndex) => {
    const targets = [0, ignoreIndex, 1, ignoreIndex, 0]
    const found = await judge(targets, new nn.CrossEntropyLoss({ ignoreIndex })).interpret()
    expect(found.actual).toEqual([0, 1, 0])
    expect(found.predicted).toEqual([0, 2, 1])
    expect(found.indices).toEqual([0, 2, 4])
    const probabilities = [softmax(logits[0]!, 0), softmax(logits[2]!, 1), softmax(logits[4]!, 0)]
    expect(found.probabilities).toEqual(probabilities.map((value) => expect.closeTo(value, 6)))
    expect(found.losses).toEqual(probabilities.map((value) => expect.closeTo(-Math.log(value), 5)))
    expect(found.topLosses().indices).toEqual([2, 4, 0])
    expect(found.confusionMatrix()).toEqual([
      [1, 1, 0],
      [0, 0, 1],
      [0, 0, 0],
    ])
    expect(found.classReport().map(({ support }) => support)).toEqual([2, 1, 0])
  })

  it('names a target that is no class', async () => {
    class Forgiving extends nn.CrossEntropyLoss {
      override forward(output: Tensor, target: Tensor) {
        return super.forward(output, target.clamp(0, 2))
      }
    }
    const judged = judge([0, 1, 7, 0, 0], new Forgiving())
    await expect(judged.interpret()).rejects.toThrow(DataError)
    await expect(judged.interpret()).rejects.toThrow(/target of item 2 is 7, which is no class from 0 to 2/)
  })

  it('counts classes that have no name', async () => {
    const found = await judge([0, 1, 2, 0, 1], new nn.CrossEntropyLoss(), ['a', 'b']).interpret()
    expect(found.classReport().map((one) => [one.class, one.recall])).toEqual([
      ['a', 1],
      ['b', 1],
      ['2', 1],
    ])
  })
})

it('losses that are no numbers count as the worst, and leave the others in order', () => {
  const losses = [0.5, Number.NaN, 3, Number.POSITIVE_INFINITY, 1, Number.NaN, Number.POSITIVE_INFINITY, 0.1]
  const labels = losses.map(() => 0)
  const found = new ClassificationInterpretation(['a'], labels, labels, losses)
  expect(found.topLosses().indices).toEqual([1, 5, 3, 6, 2, 4, 0, 7])
  expect(found.topLosses(3, { largest: false })).toEqual({ values: [0.1, 0.5, 1], indices: [7, 0, 4] })
})
