import { describe, expect, it } from 'vitest'
import {
  batchNorm,
  conv1d,
  conv2d,
  convTranspose1d,
  defineOp,
  dropout2d,
  elu,
  enableGrad,
  grad,
  gradcheck,
  gradgradcheck,
  groupNorm,
  hardswish,
  leakyRelu,
  lerp,
  linear,
  logSigmoid,
  logsumexp,
  manualSeed,
  memoryStats,
  norm,
  ones,
  randn,
  scope,
  selu,
  type Tensor,
  tensor,
} from '../../src/engine/index.ts'
import { cap } from '../../src/engine/ops/activation.ts'
import { squaredError } from '../../src/engine/ops/loss.ts'
import { cases } from './gradcheckCases.ts'

/** Ops of the table through which createGraph does not reach, and what its error then names. */
const unsupported: Record<string, RegExp> = {
  as_strided: /asStrided/,
  index_put_: /indexPut_/,
  prod: /prod/,
  cumprod: /cumprod/,
  grid_sample: /gridSample/,
  adaptive_max_pool2d: /adaptiveMaxPool2d/,
}

const normal = (...shape: number[]): Tensor => randn(shape, { dtype: 'float64', requiresGrad: true })
const leaf = (...values: number[]): Tensor => tensor(values, { dtype: 'float64', requiresGrad: true })

describe('gradients of gradients agree with central differences', () => {
  const entries = Object.entries(cases).flatMap(([op, list]) =>
    list.map((each, i) => ({ name: list.length > 1 ? `${op}, case ${i + 1}` : op, op, ...each })),
  )
  const reached = entries.filter(({ op, name }) => !(op in unsupported) && name !== 'fill_, case 2')

  it.each(reached)('$name', ({ fn, inputs }) => {
    manualSeed(1)
    expect(gradgradcheck(fn, inputs())).toBe(true)
  })

  const more: Record<string, [fn: (...inputs: Tensor[]) => Tensor, inputs: () => Tensor[]]> = {
    elu: [(x) => elu(x as Tensor, 1.3), () => [leaf(-1.2, 0.4, 2)]],
    selu: [(x) => selu(x as Tensor), () => [leaf(-1.2, 0.4, 2)]],
    hardswish: [(x) => hardswish(x as Tensor), () => [leaf(-4, -1.2, 0.4, 5)]],
    'relu and cap': [(x) => cap((x as Tensor).relu(), 6), () => [leaf(-4, 0.4, 5, 7)]],
    logSigmoid: [(x) => logSigmoid(x as Tensor), () => [leaf(-3, 0.4, 2)]],
    'clamp between tensors': [
      (x, low) => (x as Tensor).clamp(low, 2),
      () => [leaf(-1, 0.5, 3), leaf(0, 0, 0)],
    ],
    lerp: [(a, b, w) => lerp(a as Tensor, b as Tensor, w as Tensor), () => [normal(3), normal(3), normal(3)]],
    'norm, p 1': [(x) => norm(x as Tensor, 1, 1), () => [normal(3, 4)]],
    'norm, p 2': [(x) => norm(x as Tensor, 2, [1, 2]), () => [normal(2, 3, 2)]],
    'norm, p 3': [(x) => norm(x as Tensor, 3), () => [normal(3, 4)]],
    'norm, p ∞': [(x) => norm(x as Tensor, Number.POSITIVE_INFINITY, 0), () => [normal(3, 4)]],
    squaredError: [(a, b) => squaredError(a as Tensor, b as Tensor), () => [normal(3, 2), normal(3, 2)]],
    conv1d: [
      (x, w, b) => conv1d(x as Tensor, w as Tensor, b as Tensor, { stride: 2, padding: 1 }),
      () => [normal(2, 3, 7), normal(4, 3, 3), normal(4)],
    ],
    'conv2d, padding same': [
      (x, w) => conv2d(x as Tensor, w as Tensor, null, { padding: 'same' }),
      () => [normal(1, 2, 4, 5), normal(3, 2, 4, 2)],
    ],
    convTranspose1d: [
      (x, w) => convTranspose1d(x as Tensor, w as Tensor, null, { stride: 2 }),
      () => [normal(2, 3, 4), normal(3, 2, 3)],
    ],
    'batchNorm with relu': [
      (x, w, b) => batchNorm(x as Tensor, { weight: w, bias: b, training: true, activation: 'relu' }),
      () => [normal(3, 2, 2, 2), normal(2), normal(2)],
    ],
    dropout2d: [
      (x) => {
        manualSeed(4)
        return dropout2d((x as Tensor).square(), 0.5)
      },
      () => [normal(2, 4, 2, 2)],
    ],
    'a tensor that meets itself on two ways': [
      (x) =>
        (x as Tensor)
          .mul((x as Tensor).sin())
          .add((x as Tensor).square())
          .mul(x as Tensor),
      () => [normal(4)],
    ],
  }

  it.each(Object.entries(more))('%s', (_, [fn, inputs]) => {
    manualSeed(2)
    expect(gradgradcheck(fn, inputs())).toBe(true)
  })
})

describe('what createGraph does not reach through is an error by name', () => {
  const entries = Object.entries(unsupported).flatMap(([op, message]) =>
    (cases[op] ?? []).map((each, i) => ({ name: `${op}, case ${i + 1}`, message, ...each })),
  )

  it.each(entries)('$name', ({ fn, inputs, message }) => {
    manualSeed(1)
    const given = inputs()
    const wanted = given.filter(({ requiresGrad }) => requiresGrad)
    expect(() => grad(fn(...given).sum(), wanted, { createGraph: true })).toThrow(message)
    // Without createGraph the same gradients are there.
    expect(grad(fn(...given).sum(), wanted, { allowUnused: true })).toHaveLength(wanted.length)
  })

  it('logsumexp, which keeps its powers without history', () => {
    const x = normal(2, 3)
    expect(() => grad(logsumexp(x, 1).sum(), x, { createGraph: true })).toThrow(/logsumexp/)
  })

  it('an op of defineOp that keeps intermediate values; one that keeps its inputs works', () => {
    const cube = (keepsSquare: boolean) =>
      defineOp({
        name: 'cube',
        forward(context, x: Tensor) {
          context.saveForBackward(keepsSquare ? x.square() : x)
          return x.pow(3)
        },
        backward(context, g) {
          const [saved] = context.saved as [Tensor]
          return g.mul(keepsSquare ? saved : saved.square()).mul(3)
        },
      })
    expect(gradgradcheck(cube(false) as (...inputs: Tensor[]) => Tensor, [leaf(1, -2)])).toBe(true)
    const x = leaf(2)
    expect(() => grad(cube(true)(x), x, { createGraph: true })).toThrow(/cube.*keeps values/)
    expect(grad(cube(true)(x), x)[0]?.item()).toBe(12)
  })
})

describe('grad with createGraph', () => {
  it('can be repeated: all derivatives of x⁵', () => {
    const x = leaf(2)
    let y = x.pow(5)
    for (const expected of [80, 160, 240, 240, 120]) {
      ;[y] = grad(y, x, { createGraph: true }) as [Tensor]
      expect(y.item()).toBeCloseTo(expected, 10)
    }
  })

  it('leaves nothing in grad, and its result reaches parameters in backward', () => {
    const [x, w] = [leaf(1, 2), leaf(3, -1)]
    const [slope] = grad(x.mul(w).square().sum(), x, { createGraph: true }) as [Tensor]
    expect([x.grad, w.grad]).toEqual([null, null])
    expect(slope.toArray()).toEqual([18, 4]) // 2 x w²
    slope.sum().backward()
    expect(w.grad?.toArray()).toEqual([12, -8]) // 4 x w
    expect(x.grad?.toArray()).toEqual([18, 2])
  })

  it('gives gradients without history where nothing depends', () => {
    const x = leaf(1, 2)
    const [slope] = grad(x.mul(3).sum(), x, { createGraph: true }) as [Tensor]
    expect(slope.toArray()).toEqual([3, 3])
    expect(slope.requiresGrad).toBe(false)
  })

  it('works for intermediates, several inputs and given gradients with a history', () => {
    const [x, y, v] = [leaf(2), leaf(5), leaf(7)]
    const middle = x.square()
    const [toMiddle, toY] = grad(middle.mul(y), [middle, y], { gradOutputs: [v], createGraph: true }) as [
      Tensor,
      Tensor,
    ]
    expect([toMiddle.item(), toY.item()]).toEqual([35, 28])
    toMiddle.add(toY).sum().backward()
    expect(v.grad?.item()).toBe(9) // y + x²
    expect(x.grad?.item()).toBe(28) // v · 2x
  })

  it('keeps the graph unless told otherwise', () => {
    const x = leaf(3)
    const y = x.pow(3)
    grad(y, x, { createGraph: true })
    grad(y, x, { createGraph: true, retainGraph: false })
    expect(() => grad(y, x, { createGraph: true })).toThrow(/retainGraph/)
  })

  it('sees values that their user has disposed of', () => {
    const x = leaf(3)
    const square = x.square()
    const y = square.pow(2)
    square.dispose()
    const [slope] = grad(y, x, { createGraph: true }) as [Tensor]
    expect(slope.item()).toBe(108)
    expect(grad(slope, x)[0]?.item()).toBe(108) // 12 x²
  })

  it('runs hooks, whose changes are recorded', () => {
    const x = leaf(2)
    const middle = x.square()
    middle.registerHook((g) => g.mul(x))
    const [slope] = grad(middle.mul(3), x, { createGraph: true }) as [Tensor]
    expect(slope.item()).toBe(24) // 3 · x · 2x
    expect(grad(slope, x)[0]?.item()).toBe(24) // 12 x
  })

  it('leaves no memory behind a scope', () => {
    const weight = randn([8, 3, 3, 3], { requiresGrad: true })
    const x = randn([2, 3, 8, 8])
    const step = () =>
      scope(() => {
        const input = x.detach().requiresGrad_()
        const [slope] = grad(leakyRelu(conv2d(input, weight), 0.2).square().sum(), input, {
          createGraph: true,
        }) as [Tensor]
        slope.square().sum().backward()
        weight.clearGrad()
      })
    step()
    const before = memoryStats().bytesInUse
    for (let i = 0; i < 5; i++) step()
    expect(memoryStats().bytesInUse).toBe(before)
  })

  it('gives a gradient penalty with the right gradient (Gulrajani et al. 2017)', () => {
    manualSeed(3)
    const x = randn([2, 2, 6, 6], { dtype: 'float64' })
    const penalty = (...[first, scale, second, last]: Tensor[]) => {
      const input = x.detach().requiresGrad_()
      let h = leakyRelu(conv2d(input, first as Tensor, null, { stride: 2, padding: 1 }), 0.2)
      h = leakyRelu(
        groupNorm(conv2d(h, second as Tensor, null, { padding: 1 }), 2, { weight: scale as Tensor }),
        0.2,
      )
      const score = linear(h.flatten(1), last as Tensor)
      const [slope] = grad(score, input, {
        gradOutputs: [ones([2, 1], { dtype: 'float64' })],
        createGraph: true,
      }) as [Tensor]
      return slope.flatten(1).norm(2, 1).sub(1).square().mean()
    }
    // Differences are measured inside noGrad, where the penalty's own gradient would not be recorded.
    const weights = [normal(4, 2, 3, 3), normal(4), normal(4, 4, 3, 3), normal(1, 36)]
    expect(gradcheck((...given) => enableGrad(() => penalty(...given)), weights)).toBe(true)
  })
})
