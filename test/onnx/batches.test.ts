import { describe, expect, test } from 'vitest'
import { ConfigError, ShapeError } from '../../src/engine/errors.ts'
import {
  arange,
  cat,
  eye,
  full,
  ones,
  randint,
  randn,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'
import { exportOnnx } from '../../src/onnx/index.ts'
import { Expression } from './Expression.ts'
import { differenceOf } from './runtime.ts'

const layer = new nn.Linear(6, 2)
const batchOf = (x: Tensor) => x.shape[0]!
const batches = (...sizes: number[]) => sizes.map((size) => [randn([size, 6])])
const write = (of: (x: Tensor) => Tensor | Tensor[], more = batches(2, 3, 5, 6, 9, 70)) =>
  differenceOf(new Expression(of), [randn([4, 6])], {}, more)

describe('what goes with the batch in a straight line, or not at all', () => {
  test.each<[string, (x: Tensor) => Tensor | Tensor[]]>([
    ['sizes', (x) => [zeros([batchOf(x) * 3 + 1]), arange(batchOf(x)), full([batchOf(x), 2], 1)]],
    ['bounds', (x) => [x.slice(0, 1), x.slice(0, 0, batchOf(x) - 1), x.select(0, -1), x.index('::2')]],
    ['copies', (x) => [x.repeat(3, 2), cat([x, x], 0), x.unsqueeze(1).expand(-1, 4, -1).flatten(0, 1)]],
    ['means', (x) => [x.sub(x.mean(0)), x.cumsum(0), x.argmax(0)]],
  ])('%s', async (_, of) => {
    expect(await write(of)).toBeLessThan(1e-6)
  })
})

describe('what goes another way, and the graph finds by itself', () => {
  test.each<[string, (x: Tensor) => Tensor | Tensor[]]>([
    ['pairs', (x) => [x.matmul(x.t()).flatten(), x.matmul(x.t()).reshape(-1, 1).expand(-1, 2)]],
    [
      'a square by name',
      (x) =>
        x
          .matmul(x.t())
          .reshape(batchOf(x) ** 2, 1)
          .mul(2),
    ],
    [
      'the first or last few',
      (x) => [x.slice(0, 0, 5).mul(2), x.slice(0, -4).unsqueeze(1).expand(-1, 3, -1)],
    ],
  ])('%s', async (_, of) => {
    expect(await write(of)).toBeLessThan(1e-5)
  })
})

describe('what goes another way, and no graph can say, is refused; for one size it is exported', () => {
  test.each<[string, (x: Tensor) => Tensor | Tensor[]]>([
    ['halves', (x) => x.chunk(2, 0)],
    ['a half of it', (x) => layer.forward(x).chunk(2, 0)[0]!.sub(1)],
    ['rounded up', (x) => x.slice(0, 0, Math.ceil(batchOf(x) / 2))],
    ['rounded down', (x) => x.slice(0, 0, Math.floor(batchOf(x) / 2))],
    ['at most four', (x) => x.slice(0, 0, Math.min(batchOf(x), 4))],
    ['at most forty', (x) => x.slice(0, 0, Math.min(batchOf(x), 40))],
    ['a square', (x) => zeros([batchOf(x) ** 2])],
    [
      'ones of a square',
      (x) =>
        x
          .matmul(x.t())
          .flatten()
          .add(ones([batchOf(x) ** 2])),
    ],
    ['tiles', (x) => x.repeat(batchOf(x), 1)],
    ['tiles of tiles', (x) => x.repeat(batchOf(x) - 1, 1)],
    ['odd and even', (x) => x.mul(batchOf(x) % 2)],
    ['a unit matrix', (x) => x.matmul(x.t()).sub(eye(batchOf(x)))],
    ['every row in order', (x) => x.sort(0).values],
  ])('%s', async (_, of) => {
    await expect(write(of)).rejects.toThrow(ConfigError)
    await expect(write(of)).rejects.toThrow(/dynamicBatch: false/)
    const model = new Expression(of)
    expect(await differenceOf(model, [randn([4, 6])], { dynamicBatch: false })).toBeLessThan(1e-6)
  })
})

test('a model that does not take every size says with which it was tried', async () => {
  const pairs = (x: Tensor) => x.reshape([-1, 12])
  const failed = write(pairs)
  await expect(failed).rejects.toThrow(ConfigError)
  await expect(failed).rejects.toThrow(
    /batches of other sizes .* \(2, 3, 5\).* with 3 it fails: .*\[-1, 12\]/,
  )
  await expect(failed).rejects.toThrow(/dynamicBatch: false/)
  const model = new Expression(pairs)
  expect(await differenceOf(model, [randn([4, 6])], { dynamicBatch: false })).toBe(0)
})

test('what fails for the example too is told as it is', async () => {
  await expect(write((x) => x.reshape([-1, 7]))).rejects.toThrow(ShapeError)
  await expect(write((x) => x.reshape([-1, 7]))).rejects.not.toThrow(/dynamicBatch/)
})

test('a model that ends at some size is exported for those that it takes', async () => {
  const few = (x: Tensor) =>
    ones([6, 6])
      .index(arange(batchOf(x)))
      .mul(x)
  expect(await write(few, batches(2, 6))).toBeLessThan(1e-6)
})

test('inputs of several items, and of several dimensions that grow', async () => {
  class Both extends nn.Module<[Tensor, Tensor]> {
    override forward(x: Tensor, y: Tensor): Tensor {
      return cat([x.matmul(y.t()), x.mean(1, { keepdim: true }).expand(-1, 2)], 1)
    }
  }
  const of = (size: number) => [randn([size, 6]), randn([size, 6])]
  expect(await differenceOf(new Both(), of(4), {}, [1, 2, 7].map(of))).toBeLessThan(1e-5)
})

describe('sizes that depend on values are refused, by the name of what reads them', () => {
  const whole = (of: (x: Tensor) => Tensor) => {
    const inputs = [randint(0, 5, [4, 6])]
    return exportOnnx(new Expression(of), '/nowhere/m.onnx', { inputs })
  }
  test.each<[RegExp, (x: Tensor) => Tensor]>([
    [/no form for nonzero/, (x) => x.unique()],
    [/no form for nonzero/, (x) => x.unique({ dim: 1, returnInverse: true }).inverseIndices],
    [/no form for bincount/, (x) => x.flatten().bincount()],
    [/no form for bincount/, (x) => x.add(1).flatten().bincount({ minlength: 50 })],
    [/no form for oneHot without a number of classes/, (x) => F.oneHot(x)],
    [/no form for repeatInterleave with a tensor/, (x) => x.repeatInterleave(x.select(0, 0), 1)],
    [/sort: dimension 0 depends on the size of the batch/, (x) => x.median()],
    [/depends on the size of the batch/, (x) => x.float().quantile(0.5, 0)],
  ])('%s', async (message, of) => {
    await expect(whole(of)).rejects.toThrow(ConfigError)
    await expect(whole(of)).rejects.toThrow(message)
  })

  test('unless the inputs have no part in them', async () => {
    const copies = tensor([0, 2, 1, 1, 1, 1], { dtype: 'int64' })
    const of = (x: Tensor) => [x.repeatInterleave(copies, 1), F.oneHot(arange(6)).mul(x.unsqueeze(1))]
    expect(await write(of)).toBe(0)
  })
})
