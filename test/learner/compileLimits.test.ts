import { describe, expect, it } from 'vitest'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import {
  ConfigError,
  getDefaultDevice,
  manualSeed,
  memoryStats,
  ones,
  randint,
  randn,
  scope,
  type Tensor,
} from '../../src/engine/index.ts'
import { type BatchEndContext, Callback, Learner } from '../../src/learner/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'

function make(model: nn.Module, lossFunction: unknown = new nn.CrossEntropyLoss()) {
  const dataset = new TensorDataset(randn([40, 6]), randint(3, [40]))
  const trainDl = new DataLoader(dataset, { batchSize: 8, shuffle: false })
  return new Learner({ trainDl }, model, { lossFunction: lossFunction as nn.CrossEntropyLoss, silent: true })
}

const parameters = (learner: Learner) =>
  learner.model.parameters().map((parameter: Tensor) => Array.from(parameter.dataSync(), Number))

type Term = (output: Tensor, target: Tensor) => Tensor

/** Cross entropy and a little of `term`. */
function withTerm(term: Term) {
  manualSeed(5)
  return make(new nn.Linear(6, 3), (output: Tensor, target: Tensor) =>
    F.crossEntropy(output, target).add(term(output, target).mul(0.01)),
  )
}

describe('compile() refuses what makes a shape or a number of values', () => {
  it.each<[string, Term]>([
    ['a mask as an index', (output, target) => output.index(target.gt(0)).sum()],
    ['a mask beside other indices', (output, target) => output.index(target.gt(0), '1:').sum()],
    ['a mask without dimensions', (output) => output.index(output.sum().gt(0)).sum()],
    ['a place without dimensions', (output, target) => output.index(0, target.amax()).sum()],
    [
      'writing where a mask holds',
      (output, target) => output.mul(ones([8, 3]).indexPut_([target.gt(0)], 2)).sum(),
    ],
    ['maskedSelect', (output) => output.maskedSelect(output.gt(0)).sum()],
    ['nonzero', (output, target) => output.sum().mul(target.nonzero().size(0))],
    ['unique', (output, target) => output.sum().mul(target.unique().size(0))],
    ['unique along a dimension', (output) => output.sum().mul(output.gt(0).unique({ dim: 0 }).size(0))],
    ['bincount', (output, target) => output.sum().mul(target.bincount().size(0))],
    ['oneHot without a number of classes', (output, target) => output.sum().mul(F.oneHot(target).size(1))],
    ['repeatInterleave by a tensor', (output, target) => output.repeatInterleave(target, 0).sum()],
    ['equal', (output, target) => output.sum().mul(target.equal(target.abs()) ? 1 : 2)],
    ['allclose', (output, target) => output.sum().mul(output.allclose(output.abs()) ? 1 : target.numel)],
    ['toArray', (output, target) => output.sum().mul((target.toArray() as number[])[0]!)],
    ['text', (output, target) => output.sum().mul(String(target).length)],
  ])('%s', async (_title, term) => {
    await withTerm(term).fit(1)
    const fit = withTerm(term).compile().fit(1)
    await expect(fit).rejects.toThrow(ConfigError)
    await expect(fit).rejects.toThrow(/reads a tensor.*train without compile\(\)/)
  })

  it.each<[string, Term]>([
    ['a mask in a list, which never changes', (output) => output.index('...', [true, false, true]).sum()],
    ['where', (output, target) => output.where(target.unsqueeze(1).gt(0), 0).sum()],
    ['maskedFill', (output, target) => output.maskedFill(target.unsqueeze(1).eq(1), 0).sum()],
    ['median, sort and topk', (output) => output.median().add(output.sort(0).values.index(2).sum())],
    ['quantile', (output) => output.quantile(0.3, 0).sum()],
    ['integers as an index', (output, target) => output.index(target).sum()],
    ['oneHot', (output, target) => output.mul(F.oneHot(target, 3)).sum()],
    ['places of the largest', (output, target) => output.mul(output.argmax(1).eq(target).unsqueeze(1)).sum()],
  ])('but repeats %s', async (_title, term) => {
    const [plain, compiled] = [withTerm(term), withTerm(term).compile()]
    for (const learner of [plain, compiled]) await learner.fit(2, { lr: 0.1 })
    expect(parameters(compiled)).toEqual(parameters(plain))
    expect(compiled.compiled?.recordings).toBe(1)
  })
})

describe('what callbacks keep under compile()', () => {
  type Look = (context: BatchEndContext) => Tensor[]

  /** The tensors that `look` gives in each batch, read at the end of the fit. */
  async function kept(compiled: boolean, look: Look) {
    manualSeed(5)
    const all: Tensor[] = []
    class Keeps extends Callback {
      override onBatchEnd(context: BatchEndContext) {
        all.push(...look(context))
      }
    }
    const learner = make(new nn.Linear(6, 3)).compile(compiled)
    await learner.fit(2, { lr: 0.1, callbacks: [new Keeps()] })
    return all.map((tensor) => Array.from(tensor.dataSync(), Number))
  }

  it.each<[string, Look]>([
    ['the output', ({ lastOutput }) => [lastOutput.keep()]],
    ['the loss', ({ lastLoss }) => [lastLoss.keep()]],
    ['both, detached', ({ lastOutput, lastLoss }) => [lastOutput.detach().keep(), lastLoss.detach().keep()]],
    // The second look is not at what the first one's scope has freed.
    [
      'the output, looked at in a scope before',
      (context) => {
        scope(() => context.lastOutput.sum())
        return [context.lastOutput.keep()]
      },
    ],
  ])('stays what it is: %s', async (_title, look) => {
    const expected = await kept(false, look)
    expect(await kept(true, look)).toEqual(expected)
    expect(new Set(expected.map(String)).size).toBeGreaterThan(1)
  })

  it('is copied for who looks alone, and freed where nobody keeps it', async () => {
    const counts: number[] = []
    class LooksAndCounts extends Callback {
      override onBatchEnd(context: BatchEndContext) {
        const { epoch } = context
        if (epoch === 2) expect([context.lastOutput.shape, context.lastLoss.shape]).toEqual([[8, 3], []])
        counts.push(memoryStats(getDefaultDevice()).tensors)
      }
    }
    manualSeed(5)
    const learner = make(new nn.Linear(6, 3)).compile()
    await learner.fit(4, { callbacks: [new LooksAndCounts()] })
    const [, before, looked, after] = [0, 5, 10, 15].map((start) => counts.slice(start, start + 5))
    expect(new Set(before).size).toBe(1)
    expect(looked).toEqual(before!.map((tensors) => tensors + 2))
    expect(after).toEqual(before)
  })
})
