import { describe, expect, it } from 'vitest'
import {
  AutogradError,
  conv2d,
  defineOp,
  grad,
  gradcheck,
  noGrad,
  ones,
  randn,
  type Tensor,
  tensor,
  where,
} from '../../src/engine/index.ts'

const leaf = (values: number[]) => tensor(values, { requiresGrad: true })

describe('backward', () => {
  it('follows every path and adds them up', () => {
    const x = leaf([2, 3])
    const y = x.mul(x).add(x.mul(3))
    y.sum().backward()
    expect(x.grad?.toArray()).toEqual([7, 9])
  })

  it('accumulates over calls into the same tensor', () => {
    const x = leaf([1, 2])
    x.sum().backward()
    const held = x.grad
    x.mul(10).sum().backward()
    expect(held?.toArray()).toEqual([11, 11])
    x.clearGrad()
    x.sum().backward()
    expect(held?.toArray()).toEqual([11, 11])
    expect(x.grad?.toArray()).toEqual([1, 1])
  })

  it('handles a leaf used twice in one operation and a gradient passed through unchanged', () => {
    const x = leaf([3])
    const y = leaf([4])
    x.add(x).add(y).backward()
    expect(x.grad?.item()).toBe(2)
    expect(y.grad?.item()).toBe(1)
    x.grad?.add_(5)
    expect(y.grad?.item()).toBe(1)
  })

  it('needs a gradient for more than one element', () => {
    const x = leaf([1, 2])
    expect(() => x.mul(2).backward()).toThrow(/one element.*\[2\]/)
    x.mul(2).backward({ gradient: tensor([1, 10]) })
    expect(x.grad?.toArray()).toEqual([2, 20])
  })

  it('takes the gradient by position too, as PyTorch does', () => {
    const x = tensor([1, 2], { requiresGrad: true })
    const y = x.mul(2)
    y.backward(tensor([1, 10]), { retainGraph: true })
    y.backward(tensor([1, 1]))
    expect(x.grad?.toArray()).toEqual([4, 22])
    expect(() => x.mul(2).backward([1, 1] as never)).toThrow(/backward\(gradient\)/)
  })

  it('explains a second walk, and allows it with retainGraph', () => {
    const x = leaf([2])
    const y = x.square().sum()
    y.backward({ retainGraph: true })
    y.backward()
    expect(x.grad?.item()).toBe(8)
    expect(() => y.backward()).toThrow(AutogradError)
    expect(() => y.backward()).toThrow(/retainGraph/)
  })

  it('explains a tensor without history', () => {
    expect(() => ones([1]).backward()).toThrow(/no history/)
    const x = leaf([1])
    expect(() => noGrad(() => x.mul(2)).backward()).toThrow(AutogradError)
    expect(() => x.detach().backward()).toThrow(AutogradError)
  })

  it('keeps to the dtype and layout of the leaf', () => {
    const weight = randn([2, 3, 3, 3], { requiresGrad: true })
    conv2d(randn([1, 3, 5, 5]), weight)
      .sum()
      .backward()
    expect(weight.grad?.strides).toEqual(weight.strides)
    const x = leaf([1, 2])
    x.to('float64').mul(2).sum().backward()
    expect(x.grad?.dtype).toBe('float32')
  })
})

describe('noGrad and detach', () => {
  it('records nothing inside, synchronous or not', async () => {
    const x = leaf([1])
    expect(noGrad(() => x.mul(2)).requiresGrad).toBe(false)
    const y = await noGrad(async () => {
      await new Promise((resolve) => setTimeout(resolve, 1))
      return x.mul(2)
    })
    expect(y.requiresGrad).toBe(false)
    expect(x.mul(2).requiresGrad).toBe(true)
  })

  it('does not leak into code that runs meanwhile', async () => {
    const x = leaf([1])
    let release = () => {}
    const waiting = noGrad(() => new Promise<void>((resolve) => (release = resolve)))
    expect(x.mul(2).requiresGrad).toBe(true)
    release()
    await waiting
  })
})

describe('hooks', () => {
  it('see and replace gradients, and can be removed', () => {
    const x = leaf([1, 2])
    const seen: number[] = []
    const remove = x.registerHook((gradient) => {
      seen.push(gradient.sum().item())
      return gradient.mul(10)
    })
    x.mul(3).sum().backward()
    expect(seen).toEqual([6])
    expect(x.grad?.toArray()).toEqual([30, 30])
    remove()
    x.clearGrad()
    x.mul(3).sum().backward()
    expect(x.grad?.toArray()).toEqual([3, 3])
  })

  // As PyTorch 2 does, in grad() too.
  it('of a leaf run once, on the sum of what arrives', () => {
    const x = leaf([1])
    const seen: number[] = []
    x.registerHook((gradient) => {
      seen.push(gradient.item())
      return gradient.clamp(-1, 1)
    })
    x.mul(3).add(x.mul(4)).sum().backward()
    expect(seen).toEqual([7])
    expect(x.grad?.toArray()).toEqual([1])
    const y = leaf([3])
    y.registerHook((gradient) => gradient.square())
    expect(grad(y.mul(y).sum(), y)[0]?.toArray()).toEqual([36])
    const [recorded] = grad(y.mul(y).sum(), y, { createGraph: true }) as [Tensor]
    expect(recorded.toArray()).toEqual([36])
    y.mul(y).sum().backward()
    expect(y.grad?.toArray()).toEqual([36])
  })

  it('may keep what they see', () => {
    const x = leaf([1])
    const seen: Tensor[] = []
    x.registerHook((gradient) => {
      seen.push(gradient.keep())
    })
    x.mul(2).sum().backward()
    x.mul(3).sum().backward()
    expect(x.grad?.toArray()).toEqual([5])
    x.clearGrad()
    expect(seen.map((one) => one.toArray())).toEqual([[2], [3]])
  })

  it('give a gradient of the same kind, or nothing', () => {
    for (const [made, message] of [
      [tensor([5]), /made float32\[1\] on cpu of a gradient that is float32\[2\]/],
      [tensor([1, 2], { dtype: 'float64' }), /made float64\[2\]/],
      [Promise.resolve(), /a hook gives a tensor, null or nothing/],
    ] as const) {
      const x = leaf([1, 2])
      x.registerHook(() => made as Tensor)
      expect(() => x.mul(2).sum().backward()).toThrow(message)
      const y = leaf([1, 2]).mul(1)
      y.registerHook(() => made as Tensor)
      expect(() => y.sum().backward()).toThrow(message)
    }
  })

  it('and gradients leave out a leaf that has been frozen since', () => {
    const x = leaf([1, 2])
    const y = x.mul(2).sum()
    x.requiresGrad_(false)
    y.backward()
    expect(x.grad).toBeNull()
  })

  it('keep the gradient of an intermediate', () => {
    const x = leaf([2])
    const y = x.square().retainGrad()
    y.mul(5).sum().backward()
    expect(y.grad?.item()).toBe(5)
    expect(x.grad?.item()).toBe(20)
  })
})

describe('in-place changes', () => {
  it('are refused on leaves while recording', () => {
    const x = leaf([1])
    expect(() => x.add_(1)).toThrow(/leaf/)
    expect(() => x.fill_(1)).toThrow(/leaf/)
    noGrad(() => x.add_(1))
    expect(x.item()).toBe(2)
  })

  it('take their place in the history', () => {
    const x = leaf([1, 2])
    const y = x.mul(2)
    y.mul_(3)
    y.add_(x)
    y.sum().backward()
    expect(x.grad?.toArray()).toEqual([7, 7])
  })

  it('are noticed when backward needs the old value, also through a view', () => {
    const x = leaf([1, 2])
    const y = x.exp()
    const z = y.sum()
    y.detach().add_(1)
    expect(() => z.backward()).toThrow(/changed in place/)
  })
})

describe('gradcheck', () => {
  it('finds a wrong gradient', () => {
    const lying = defineOp<[Tensor]>({
      name: 'lying',
      forward: (_, x) => x.square(),
      backward: (_, gradient) => gradient,
    })
    const x = tensor([1, 2], { dtype: 'float64', requiresGrad: true })
    expect(() => gradcheck(lying, [x])).toThrow(/central differences/)
  })

  const a = () => randn([3, 4], { dtype: 'float64', requiresGrad: true })
  const positive = () => tensor([0.3, 1.2, 2.5, 0.8], { dtype: 'float64', requiresGrad: true })
  const cases: [string, (...inputs: Tensor[]) => Tensor, Tensor[]][] = [
    ['broadcast add', (x, y) => x.add(y), [a(), randn([4], { dtype: 'float64', requiresGrad: true })]],
    ['sub', (x, y) => x.sub(y), [a(), a()]],
    ['mul', (x, y) => x.mul(y), [a(), randn([3, 1], { dtype: 'float64', requiresGrad: true })]],
    ['div', (x, y) => x.div(y), [a(), tensor([[1], [2], [-3]], { dtype: 'float64', requiresGrad: true })]],
    ['pow', (x, y) => x.pow(y), [positive(), positive()]],
    ['number to a power', (x) => tensor([2], { dtype: 'float64' }).pow(x), [a()]],
    ['maximum', (x, y) => x.maximum(y), [a(), a()]],
    ['clamp', (x) => x.clamp(-0.5, 0.5), [a()]],
    ['log, sqrt, rsqrt', (x) => x.log().add(x.sqrt()).add(x.rsqrt()), [positive()]],
    ['sin, cos, tan, erf', (x) => x.sin().add(x.cos()).mul(x.erf()).add(x.tan()), [positive()]],
    ['tanh, sigmoid', (x) => x.tanh().mul(x.sigmoid()), [a()]],
    ['mean over a dimension', (x) => x.mean(1), [a()]],
    ['sum, keepdim', (x) => x.mul(x.sum([0], { keepdim: true })), [a()]],
    ['var and std', (x) => x.var(0).add(x.std()), [a()]],
    [
      'prod with a zero',
      (x) => x.prod(0),
      [
        tensor(
          [
            [1, 0],
            [2, 3],
            [4, 5],
          ],
          { dtype: 'float64', requiresGrad: true },
        ),
      ],
    ],
    ['norm', (x) => x.norm().add(x.norm(1)).add(x.norm(3, 1).sum()), [a()]],
    ['max along a dimension', (x) => x.max(1).values, [a()]],
    ['topk', (x) => x.topk(2, 1).values, [a()]],
    ['logsumexp', (x) => x.logsumexp(1), [a()]],
    ['cumsum', (x) => x.cumsum(1), [a()]],
    ['views', (x) => x.t().reshape(2, 6).unsqueeze(0).expand(3, 2, 6).permute(2, 0, 1), [a()]],
    ['indexing', (x) => x.index('1:', [0, 2, 2]), [a()]],
    ['matmul', (x, y) => x.matmul(y.t()), [a(), a()]],
    [
      'batched matmul',
      (x, y) => x.matmul(y),
      [
        randn([2, 1, 3, 4], { dtype: 'float64', requiresGrad: true }),
        randn([5, 4, 2], { dtype: 'float64', requiresGrad: true }),
      ],
    ],
    [
      'matrix times vector',
      (x, y) => x.matmul(y),
      [a(), randn([4], { dtype: 'float64', requiresGrad: true })],
    ],
    ['where', (x, y) => where(x.gt(0), x, y.mul(2)), [a(), a()]],
  ]
  it.each(cases)('agrees for %s', (_, fn, inputs) => {
    expect(gradcheck(fn, inputs)).toBe(true)
  })

  it.each([
    { stride: 1, padding: 0, dilation: 1, groups: 1 },
    { stride: 2, padding: 1, dilation: 1, groups: 2 },
    { stride: [2, 1], padding: [0, 2], dilation: [1, 2], groups: 1 },
  ])('agrees for conv2d %o', (options) => {
    const x = randn([2, 4, 6, 5], { dtype: 'float64', requiresGrad: true })
    const weight = randn([4, 4 / options.groups, 3, 2], { dtype: 'float64', requiresGrad: true })
    const bias = randn([4], { dtype: 'float64', requiresGrad: true })
    expect(gradcheck((i, w, b) => conv2d(i, w, b, options), [x, weight, bias])).toBe(true)
  })
})
