import { describe, expect, it } from 'vitest'
import {
  defineOp,
  grad,
  gradcheck,
  noGrad,
  ones,
  randn,
  type Tensor,
  tensor,
} from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'

const leaf = (values: number[]) => tensor(values, { requiresGrad: true })

describe('defineOp', () => {
  const cube = defineOp<[Tensor]>({
    name: 'cube',
    forward(context, x) {
      context.saveForBackward(x)
      return x.mul(x).mul(x)
    },
    backward(context, gradient) {
      const [x] = context.saved as [Tensor]
      return gradient.mul(x.square()).mul(3)
    },
  })

  it('works and passes gradcheck', () => {
    const x = leaf([2])
    cube(x).backward()
    expect(x.grad?.item()).toBe(12)
    expect(gradcheck(cube, [randn([3], { dtype: 'float64', requiresGrad: true })])).toBe(true)
  })

  it('names itself when its gradient has a wrong shape', () => {
    const wrong = defineOp<[Tensor]>({
      name: 'wrong',
      forward: (_, x) => x.mul(1),
      backward: () => ones([7]),
    })
    const y = wrong(leaf([1, 2])).sum()
    expect(() => y.backward()).toThrow(/wrong: .*\[7\].*\[2\]/)
  })

  it('may give one tensor as the gradient of several inputs, again and again', () => {
    const weighted = defineOp<[Tensor, Tensor, Tensor]>({
      name: 'weighted',
      forward: (_, x, y, z) => x.add(y).add(z).mul(2),
      backward(_, gradient) {
        const twice = gradient.mul(2)
        return [twice, twice, twice]
      },
    })
    const [x, y] = [leaf([1, 2]), leaf([3, 4])]
    for (let i = 1; i <= 3; i++) {
      weighted(x, y, y.mul(3)).sum().backward()
      expect(x.grad?.toArray()).toEqual([2 * i, 2 * i])
      expect(y.grad?.toArray()).toEqual([8 * i, 8 * i])
    }
  })

  const twiceInDouble = defineOp<[Tensor]>({
    name: 'twiceInDouble',
    forward: (_, x) => x.double().mul(2),
    backward: (_, gradient) => gradient.mul(2),
  })

  it('hands gradients on in the dtype of its input, whatever it computed in', () => {
    const layer = new nn.Linear(2, 2, { bias: false })
    noGrad(() =>
      layer.weight.copy_(
        tensor([
          [1, 0],
          [0, 1],
        ]),
      ),
    )
    const x = tensor([[3, 4]], { requiresGrad: true })
    twiceInDouble(layer.forward(x)).sum().backward()
    expect(x.grad?.dtype).toBe('float32')
    expect(x.grad?.toArray()).toEqual([[2, 2]])
    expect(layer.weight.grad?.toArray()).toEqual([
      [6, 8],
      [6, 8],
    ])
  })

  it.each(['int64', 'bfloat16', 'bool'] as const)('takes a gradient of %s too, as PyTorch does', (dtype) => {
    const counted = defineOp<[Tensor]>({
      name: 'counted',
      forward: (_, x) => x.mul(1),
      backward: (_, gradient) => gradient.to(dtype),
    })
    const x = leaf([1, 2])
    counted(x.mul(3)).sum().backward()
    expect(x.grad?.dtype).toBe('float32')
    expect(x.grad?.toArray()).toEqual([3, 3])
  })

  it('keeps the history of a gradient that it converts', () => {
    const squareInDouble = defineOp<[Tensor]>({
      name: 'squareInDouble',
      forward(context, x) {
        context.saveForBackward(x)
        return x.double().square()
      },
      backward: (context, gradient) => gradient.mul(context.saved[0] as Tensor).mul(2),
    })
    const x = leaf([3])
    const [slope] = grad(squareInDouble(x.mul(1)).sum(), x, { createGraph: true }) as [Tensor]
    expect(slope.dtype).toBe('float32')
    slope.sum().backward()
    expect(x.grad?.toArray()).toEqual([2])
  })

  it('names itself when its gradient is on another device', () => {
    const elsewhere = defineOp<[Tensor]>({
      name: 'elsewhere',
      forward: (_, x) => x.mul(1),
      backward: () => Object.defineProperty(ones([2]), 'device', { value: 'cuda:0' }),
    })
    const y = elsewhere(leaf([1, 2])).sum()
    expect(() => y.backward()).toThrow(/elsewhere: .*cuda:0.*input 0 on cpu/)
  })
})
