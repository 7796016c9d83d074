import { expect, test } from 'vitest'
import { manualSeed, ones, rand, randint, randn, type Tensor, tensor, where } from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import { Expression } from './Expression.ts'
import { differenceOf } from './runtime.ts'

// The type of `where` knows numbers only.
const [truth, falsity] = [true, false] as unknown as [number, number]
const bits = (rows: number) => randint(0, 2, [rows, 6]).to('bool')
const bytes = (rows: number) => randint(0, 256, [rows, 6]).to('uint8')
const wholes = (rows: number) => randint(-9, 9, [rows, 6])
const doubles = (rows: number) => rand([rows, 6]).double().mul(1.6).sub(0.8)
const planes = (x: Tensor) => x.reshape([-1, 1, 2, 3])

const cases: Record<string, [input: (rows: number) => Tensor, of: (x: Tensor) => Tensor | Tensor[]]> = {
  'arithmetic of truth': [
    bits,
    (x) => [x.add(x.logicalNot()), x.mul(x), x.maximum(x.flip(1)), x.minimum(x.flip(1)), x.abs(), x.add(2)],
  ],
  'truth in place': [bits, (x) => [x.clone().add_(x), x.clone().mul_(x.flip(1)), x.mul(true)]],
  'truth compared': [
    bits,
    (x) => [x.gt(x.flip(1)), x.le(x.flip(1)), x.lt(1), x.ge(false), x.eq(x.flip(1)), x.gt(-1), x.lt(0.5)],
  ],
  'truth and whole numbers': [
    bits,
    (x) => [x.eq(2), x.ne(2), x.eq(1), x.eq(-1), x.eq(true), x.ne(false), x.eq(0.5)],
  ],
  'a choice of truth': [
    bits,
    (x) => [
      where(x, truth, falsity),
      where(x, x.flip(1), falsity),
      where(x.flip(1), truth, x),
      where(x, truth, 3),
      x.maskedFill(x.flip(1), 1),
    ],
  ],
  'masks by product': [(rows) => randn([rows, 6]), (x) => [x.gt(0).mul(x.lt(1)).float(), x.gt(0).mul(x)]],
  'truth reduced': [
    bits,
    (x) => [x.amax(1), x.amin([0, 1]), x.max(1).values, x.argmax(1), x.sum(1), x.prod(1), x.cumsum(1)],
  ],
  'truth in order': [bits, (x) => [x.sort(1).values, x.topk(2).values, x.argmin(1), x.argmax()]],
  'whole numbers rounded': [
    wholes,
    (x) => [x.floor(), x.ceil(), x.round(), x.trunc(), x.frac(), x.isnan(), x.isinf(), x.isfinite()],
  ],
  'bytes and bits rounded': [
    bytes,
    (x) => [x.floor(), x.isfinite(), x.gt(9).round(), x.gt(9).isnan(), x.neg(), x.pow(2)],
  ],
  bytes: [bytes, (x) => [x.any(1), x.all(1), x.tril(), x.floorDivide(-2), F.relu(x), x.matmul(x.t())]],
  'whole numbers': [
    wholes,
    (x) => [F.relu(x), F.linear(x, x.slice(0, 0, 1)), F.interpolate(planes(x), { scaleFactor: 2 })],
  ],
  'float64, of which the runtime lacks some': [
    doubles,
    (x) => [x.tan(), x.asin(), x.atanh(), x.cosh(), x.erf(), F.silu(x), F.gelu(x), F.softplus(x), F.mish(x)],
  ],
  'layers of float64': [
    doubles,
    (x) => [
      F.conv2d(planes(x), ones([2, 1, 2, 2], { dtype: 'float64' })),
      F.groupNorm(x, 2),
      F.adaptiveAvgPool2d(planes(x), 1),
      F.interpolate(planes(x), { scaleFactor: 2, mode: 'bilinear' }),
    ],
  ],
}

test.each(Object.entries(cases))('%s', async (_, [input, of]) => {
  manualSeed(4)
  const others = [1, 2, 7].map((rows) => [input(rows)])
  expect(await differenceOf(new Expression(of), [input(3)], {}, others)).toBeLessThan(1e-6)
})

test('a source that is larger than the indices gives what lies at their places', async () => {
  const places = tensor([[1, 1]], { dtype: 'int64' })
  const of = (x: Tensor) => {
    const largest = x.argmax(1, { keepdim: true })
    return [
      x.scatter(1, largest, x.mul(2)),
      x.scatterAdd(1, largest, x),
      x.scatterAdd(1, places, ones([3, 6])),
    ]
  }
  const others = [2, 5].map((rows) => [randn([rows, 6])])
  expect(await differenceOf(new Expression(of), [randn([3, 6])], {}, others)).toBeLessThan(1e-6)
})

test('what is small beside one stays', async () => {
  const values = [1e-9, -2e-9, 1e-4, -0.3, 0.7, 0, 3, 60, -1, -50, Number.POSITIVE_INFINITY]
  const scaled = (x: Tensor) => [x.log1p(), x.expm1()].flatMap((y) => [y.mul(1e9).div(x), y.clamp(-1, 1), y])
  for (const dtype of ['float32', 'float64'] as const) {
    const rows = tensor([values.slice(0, 5), values.slice(5, 10)], { dtype })
    const some = (x: Tensor) => scaled(x).map((y) => y.slice(1, 0, 4))
    expect(await differenceOf(new Expression(some), [rows.slice(0, 0, 1)])).toBeLessThan(1e-6)
    const all = (x: Tensor) => [x.log1p(), x.expm1()]
    const each = values.map((value) => [tensor([[value]], { dtype })])
    expect(await differenceOf(new Expression(all), each[0]!, {}, each)).toBeLessThan(1e-6)
  }
})
