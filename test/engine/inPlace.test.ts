import { describe, expect, it } from 'vitest'
import {
  AutogradError,
  enableGrad,
  grad,
  gradcheck,
  noGrad,
  ones,
  randn,
  ShapeError,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'

const leaf = (values: number[]) => tensor(values, { requiresGrad: true })

function leaf64(...shape: number[]): Tensor {
  return randn(shape, { dtype: 'float64', requiresGrad: true })
}

describe('changes in place of a tracked tensor', () => {
  const cases: [string, (x: Tensor, y: Tensor) => Tensor][] = [
    ['add_', (x, y) => x.mul(2).add_(y)],
    ['sub_', (x, y) => x.mul(2).sub_(y)],
    ['mul_ by a number', (x, y) => x.mul(y).mul_(3)],
    ['mul_', (x, y) => x.mul(2).mul_(y)],
    ['mul_ by what is not tracked', (x, y) => x.mul(y).mul_(tensor([1, 2, 3, 4], { dtype: 'float64' }))],
    ['mul_ by itself', (x, y) => squareInPlace(x.add(y))],
    ['div_', (x, y) => x.mul(2).div_(y.exp())],
    ['pow_', (x, y) => x.mul(2).pow_(2).add_(y)],
    ['clamp_', (x, y) => x.mul(y).clamp_(-0.3, 0.4)],
    ['relu_, tanh_, sigmoid_', (x, y) => x.mul(y).tanh_().mul(x.mul(2).sigmoid_()).relu_()],
    ['exp_, neg_, square_', (x, y) => x.mul(2).exp_().neg_().add(y.mul(2).square_())],
    ['abs_, sqrt_, log_', (x, y) => x.mul(2).abs_().add_(0.1).sqrt_().log_().mul(y)],
    ['remainder_', (x, y) => x.mul(7).remainder_(2).mul(y)],
    ['through a view, exp_', (x, y) => expOfRow(x.mul(y))],
    ['fill_ cuts', (x, y) => x.mul(2).fill_(3).add_(y)],
    ['zero_ cuts', (x, y) => x.mul(2).zero_().add_(y)],
    ['copy_', (x, y) => x.mul(2).copy_(y.mul(3)).mul_(x)],
    ['copy_ of what broadcasts', (x, y) => x.mul(2).copy_(y.select(0, 0)).mul_(x)],
  ]
  it.each(cases)('%s has the right gradient', (_, fn) => {
    expect(gradcheck(fn, [leaf64(3, 4), leaf64(3, 4)])).toBe(true)
  })

  function expOfRow(x: Tensor): Tensor {
    x.select(0, 1).exp_()
    return x.mul(2)
  }

  function squareInPlace(x: Tensor): Tensor {
    const copy = x.clone()
    return x.mul_(copy)
  }

  it('keeps the operand as it was where it lies in the same memory', () => {
    const x = leaf([1, 2, 3])
    const y = x.mul(2)
    y.mul_(y.detach())
    y.sum().backward()
    expect(x.grad?.toArray()).toEqual([4, 8, 12])
  })

  it('is refused for leaves and their views, while recording', () => {
    const x = leaf([1, 2])
    for (const change of [
      () => x.add_(1),
      () => x.mul_(2),
      () => x.fill_(0),
      () => x.copy_(ones([2])),
      () => x.normal_(),
      () => x.pow_(2),
      () => x.mul_(leaf([1, 2])),
    ]) {
      expect(change).toThrow(/a leaf that requires gradients.*noGrad/)
    }
    expect(() => x.select(0, 0).mul_(2)).toThrow(/a view of a leaf that requires gradients/)
    expect(() => x.select(0, 0).mul_(2)).toThrow(AutogradError)
    expect(x.toArray()).toEqual([1, 2])
    noGrad(() => x.select(0, 0).mul_(5))
    expect(x.toArray()).toEqual([5, 2])
    x.detach().add_(1)
    expect(x.toArray()).toEqual([6, 3])
  })

  it('moves a kept gradient to the new value, as PyTorch does', () => {
    const x = leaf([2])
    const y = x.mul(3).retainGrad()
    y.mul_(4)
    y.mul(5).sum().backward()
    expect(y.grad?.item()).toBe(5)
    expect(x.grad?.item()).toBe(60)
  })

  it('makes a plain tensor part of the history', () => {
    const x = leaf([1, 2])
    const total = zeros([2])
    for (let i = 0; i < 3; i++) total.add_(x.mul(i))
    total.sum().backward()
    expect(x.grad?.toArray()).toEqual([3, 3])
  })

  it('is noticed where backward needs the old value', () => {
    const x = leaf([1, 2])
    const y = x.exp()
    const z = y.mul(y)
    y.add_(1)
    expect(() => z.sum().backward()).toThrow(
      /mul: a tensor of shape \[2\].*changed in place \(version 1, expected 0\)/,
    )
    const w = x.exp()
    const v = w.sum()
    noGrad(() => w.index(0).fill_(0))
    expect(() => v.backward()).toThrow(/exp: .*changed in place/)
  })
})

describe('changes through a view', () => {
  // PyTorch 1.13: the gradient of the whole passes through the change where the view lies.
  it('reach what it looks at', () => {
    const x = leaf([1, 2, 3])
    const y = x.mul(2)
    y.select(0, 1).mul_(3)
    expect(y.toArray()).toEqual([2, 12, 6])
    y.sum().backward()
    expect(x.grad?.toArray()).toEqual([2, 6, 2])
  })

  it('reach the other views', () => {
    const x = leaf([1, 2, 3, 4])
    const y = x.mul(1)
    const table = y.view(2, 2)
    const row = table.select(0, 1)
    y.index('2:').mul_(10)
    expect(row.toArray()).toEqual([30, 40])
    row.sum().backward()
    expect(x.grad?.toArray()).toEqual([0, 0, 10, 10])
  })

  it('make a plain tensor part of the history', () => {
    const x = leaf([1, 2])
    const buffer = zeros([3, 2])
    const last = buffer.select(0, 2)
    for (let i = 0; i < 2; i++) buffer.select(0, i).copy_(x.mul(i + 1))
    expect(last.requiresGrad).toBe(true)
    expect(buffer.requiresGrad).toBe(true)
    buffer.sum().backward()
    expect(x.grad?.toArray()).toEqual([3, 3])
  })

  // PyTorch 1.13's numbers.
  it.each<[string, (view: Tensor, source: Tensor) => unknown, number[][], number[] | null]>([
    [
      'copy_',
      (view, source) => view.copy_(source),
      [
        [0, 0],
        [0, 0],
      ],
      [1, 1],
    ],
    [
      'fill_',
      (view) => view.fill_(3),
      [
        [0, 0],
        [0, 0],
      ],
      null,
    ],
    [
      'zero_',
      (view) => view.zero_(),
      [
        [0, 0],
        [0, 0],
      ],
      null,
    ],
    [
      'uniform_',
      (view) => view.uniform_(),
      [
        [0, 0],
        [0, 0],
      ],
      null,
    ],
    [
      'add_ of itself',
      (view) => view.add_(view),
      [
        [4, 4],
        [0, 0],
      ],
      null,
    ],
  ])('reach the view itself: %s', (_, change, ofWhole, ofSource) => {
    const x = leaf([1, 2, 3, 4])
    const source = leaf([5, 6])
    const view = x.mul(2).view(2, 2).select(0, 0)
    change(view, source)
    view.sum().backward()
    expect(x.grad?.view(2, 2).toArray()).toEqual(ofWhole)
    expect(source.grad?.toArray() ?? null).toEqual(ofSource)
  })

  it('reach a view that they have used', () => {
    const x = leaf([1, 2])
    const whole = x.mul(1)
    const view = whole.view(2)
    whole.add_(view)
    view.sum().backward()
    expect(x.grad?.toArray()).toEqual([2, 2])
  })

  it('reach a view of what had no history', () => {
    const source = leaf([5, 6])
    const whole = zeros([2, 2])
    const [view, other] = [whole.select(0, 0), whole.select(0, 0)]
    view.copy_(source)
    expect([view.requiresGrad, other.requiresGrad]).toEqual([true, true])
    view.sum().mul(2).add(other.sum()).backward()
    expect(source.grad?.toArray()).toEqual([3, 3])
  })

  it('are seen in the history as PyTorch shows it', () => {
    const y = leaf([1, 2]).mul(1)
    const part = y.select(0, 0)
    expect(part.gradFn?.name).toBe('select')
    part.add_(1)
    expect(part.gradFn?.name).toBe('asStrided')
    expect(y.gradFn?.name).toBe('add_')
  })

  const whole: [string, (x: Tensor, y: Tensor) => Tensor][] = [
    ['select, add_', (x, y) => change(x, (v) => v.select(0, 1).add_(y.select(0, 0)))],
    ['slice, mul_', (x, y) => change(x, (v) => v.index(':', '1:3').mul_(y.index(':', ':2')))],
    ['slice with steps, copy_', (x, y) => change(x, (v) => v.index(':', '::2').copy_(y.index(':', ':2')))],
    ['transpose, div_', (x, y) => change(x, (v) => v.t().div_(y.t().exp()))],
    ['view of a view, fill_', (x, y) => change(x.mul(y), (v) => v.view(12).slice(0, 2, 7).fill_(2))],
    ['permuted base', (x, y) => change(x.mul(y).t(), (v) => v.select(0, 2).mul_(5))],
    [
      'one after another',
      (x, y) => change(x, (v) => v.select(0, 1).mul_(v.select(0, 2).clone()).add_(y.select(0, 0))),
    ],
    ['and out through an older view', (x, y) => throughOldView(x.mul(1), y)],
    ['with a broadcast view', (x, y) => throughExpanded(x.mul(1), y)],
    ['power', (x, y) => change(x, (v) => v.index('1:').pow_(3)).mul(y)],
  ]

  function change(x: Tensor, body: (view: Tensor) => unknown): Tensor {
    const copy = x.mul(1.5)
    body(copy)
    return copy.mul(x)
  }

  function throughOldView(x: Tensor, y: Tensor): Tensor {
    const before = x.select(1, 0)
    const squared = x.clone().mul(y)
    x.index(':', ':2').mul_(y.index(':', ':2'))
    return before.mul(before).add(squared.sum())
  }

  function throughExpanded(x: Tensor, y: Tensor): Tensor {
    const wide = x.select(0, 0).expand(5, 4)
    x.mul_(y)
    return wide.mul(wide)
  }

  it.each(whole)('%s', (_, fn) => {
    expect(gradcheck(fn, [leaf64(3, 4), leaf64(3, 4)])).toBe(true)
  })

  it('need a view that was made while recording', () => {
    const y = leaf([1, 2]).mul(1)
    const part = noGrad(() => y.select(0, 0))
    expect(() => part.mul_(leaf([2]).sum())).toThrow(/made inside noGrad/)
    expect(part.requiresGrad).toBe(false)
  })

  it('work after what it looks at has been freed', () => {
    const x = leaf([1, 2, 3])
    const part = scope(() => x.mul(2).slice(0, 1))
    part.mul_(3)
    part.sum().backward()
    expect(x.grad?.toArray()).toEqual([0, 6, 6])
    const y = x.mul(2)
    const rest = y.slice(0, 1)
    y.dispose()
    rest.mul_(3)
    rest.sum().backward()
    expect(x.grad?.toArray()).toEqual([0, 12, 12])
  })

  it('are no business of a reshape that copied', () => {
    const x = leaf([1, 2, 3, 4])
    const y = x.mul(1).view(2, 2)
    const flat = y.t().reshape(4)
    flat.mul_(10)
    expect(y.toArray()).toEqual([
      [1, 2],
      [3, 4],
    ])
    y.sum().backward()
    expect(x.grad?.toArray()).toEqual([1, 1, 1, 1])
  })

  it('are refused where several elements lie in one place', () => {
    const wide = zeros([1]).expand(3)
    for (const change of [
      () => wide.add_(1),
      () => wide.mul_(2),
      () => wide.copy_(ones([3])),
      () => wide.normal_(),
    ]) {
      expect(change).toThrow(/one place of memory.*clone/)
      expect(change).toThrow(ShapeError)
    }
    // Filling is the same for all of them; PyTorch allows it.
    expect(wide.fill_(2).toArray()).toEqual([2, 2, 2])
  })
})

describe('expanded views', () => {
  it('add the gradients of the elements that they repeat', () => {
    const x = leaf([1, 2])
    x.view(2, 1)
      .expand(2, 3)
      .mul(tensor([1, 2, 3]))
      .sum()
      .backward()
    expect(x.grad?.toArray()).toEqual([6, 6])
  })
})

describe('detach_', () => {
  it('makes a leaf of a tensor', () => {
    const x = leaf([1])
    const y = x.mul(2).detach_()
    expect(y.requiresGrad).toBe(false)
    expect(y.isLeaf).toBe(true)
    expect(() => x.view(1).detach_()).toThrow(/view/)
  })
})

describe('grad', () => {
  it('gives gradients without touching any', () => {
    const x = leaf([1, 2])
    const y = leaf([3])
    const h = x.mul(y)
    const [dx, dy, dh] = grad(h.square().sum(), [x, y, h]) as [Tensor, Tensor, Tensor]
    expect(dx.toArray()).toEqual([18, 36])
    expect(dy.toArray()).toEqual([30])
    expect(dh.toArray()).toEqual([6, 12])
    expect(x.grad).toBe(null)
    expect(y.grad).toBe(null)
  })

  it('takes several outputs with their gradients', () => {
    const x = leaf([1, 2])
    const [dx] = grad([x.mul(2), x.sum()], x, { gradOutputs: [tensor([1, 10]), null] })
    expect(dx?.toArray()).toEqual([3, 21])
  })

  it('walks no further than it must', () => {
    const x = leaf([2])
    const middle = x.square()
    const [d] = grad(middle.square().sum(), middle)
    expect(d?.toArray()).toEqual([8])
    // What lies before was not freed.
    middle.backward()
    expect(x.grad?.toArray()).toEqual([4])
  })

  it('explains what cannot be had', () => {
    const x = leaf([1])
    const y = leaf([1])
    expect(() => grad(x.mul(2), y)).toThrow(/do not depend on input 0.*allowUnused/)
    expect(grad(x.mul(2), [y], { allowUnused: true })).toEqual([null])
    expect(() => grad(x.mul(2), ones([1]))).toThrow(/does not require/)
    expect(() => grad(ones([1]), x)).toThrow(/no history/)
    expect(() => grad(x.mul(2), null as never)).toThrow(/list of tensors/)
    const z = x.square()
    grad(z, x)
    expect(() => grad(z, x)).toThrow(/retainGraph/)
  })

  it('hands its results to the surrounding scope', () => {
    const x = leaf([1])
    const held: Tensor[] = []
    scope(() => {
      held.push(grad(x.square(), x)[0] as Tensor)
    })
    expect(held[0]?.isAlive).toBe(false)
  })
})

describe('what can be walked again', () => {
  it('is a graph that kept nothing', () => {
    const x = leaf([1, 2])
    const turned = x.view(1, 2).t()
    turned.sum().backward()
    turned.sum().backward()
    expect(x.grad?.toArray()).toEqual([2, 2])
  })

  it('is not one that kept something, also where two results share it', () => {
    const x = leaf([1, 2])
    const shared = x.mul(x)
    shared.sum().backward()
    expect(() => shared.mean().backward()).toThrow(/mul: .*walked backward already.*retainGraph/)
  })
})

describe('modes', () => {
  it('nest', async () => {
    const x = leaf([1])
    noGrad(() => {
      expect(x.mul(2).requiresGrad).toBe(false)
      enableGrad(() => expect(x.mul(2).requiresGrad).toBe(true))
      expect(x.mul(2).requiresGrad).toBe(false)
    })
    await noGrad(async () => {
      await Promise.resolve()
      await enableGrad(async () => {
        await Promise.resolve()
        expect(x.mul(2).requiresGrad).toBe(true)
      })
      expect(x.mul(2).requiresGrad).toBe(false)
    })
    expect(() =>
      noGrad(() => {
        throw new Error('inside')
      }),
    ).toThrow('inside')
    expect(x.mul(2).requiresGrad).toBe(true)
  })

  it('leave integers without gradients', () => {
    expect(() => tensor([1], { dtype: 'int64', requiresGrad: true })).toThrow(/int64/)
    expect(() => ones([1], { dtype: 'int64' }).requiresGrad_()).toThrow(AutogradError)
    expect(() => ones([1], { dtype: 'bool' }).requiresGrad_()).toThrow(/bool/)
    const x = leaf([1.5])
    expect(x.long().requiresGrad).toBe(false)
    expect(() => x.mul(2).requiresGrad_(false)).toThrow(/detach/)
    expect(() => ones([1]).registerHook(() => null)).toThrow(/does not require/)
    expect(() => ones([1]).retainGrad()).toThrow(/does not require/)
  })

  it('take a gradient of another dtype', () => {
    const x = leaf([1, 2])
    x.mul(3).backward({ gradient: tensor([1, 2], { dtype: 'float64' }) })
    expect(x.grad?.dtype).toBe('float32')
    expect(x.grad?.toArray()).toEqual([3, 6])
    expect(() => x.mul(3).backward({ gradient: tensor([1]) })).toThrow(ShapeError)
    expect(() => x.mul(3).backward({ gradient: 1 as never })).toThrow(/must be a tensor/)
  })
})
