import { describe, expect, it } from 'vitest'
import { ConfigError, DTypeError, ShapeError } from '../../src/engine/errors.ts'
import {
  arange,
  einsum,
  gradcheck,
  pad,
  rand,
  type Tensor,
  tensor,
  where,
  zeros,
} from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'

const long = (values: number[] | number[][]) => tensor(values, { dtype: 'int64' })
const grid = () => arange(12).reshape([3, 4]).float()
const leaf = (shape: number[], scale = 1) => {
  const count = shape.reduce((product, size) => product * size, 1)
  const values = Float64Array.from({ length: count }, (_, i) => scale * Math.sin(1 + 1.7 * i))
  return tensor(values, { shape, requiresGrad: true })
}

describe('scattering in place', () => {
  const places = long([
    [0, 2],
    [1, 1],
  ])
  const mask = tensor([true, false, true])

  it('does what the copying twins do', () => {
    const source = tensor([
      [1, 2],
      [3, 4],
    ])
    expect(zeros([2, 3]).scatter_(1, places, source).toArray()).toEqual([
      [1, 0, 2],
      [0, 4, 0],
    ])
    expect(zeros([2, 3]).scatter_(1, places, 9).sum().item()).toBe(27)
    expect(zeros([2, 3]).scatterAdd_(1, places, source).toArray()).toEqual([
      [1, 0, 2],
      [0, 7, 0],
    ])
    const added = zeros([3, 2]).indexAdd_(0, long([2, 2]), source, { alpha: 2 })
    expect(added.toArray()).toEqual([
      [0, 0],
      [0, 0],
      [8, 12],
    ])
    expect(zeros([2, 3]).maskedFill_(mask, 4).index(0).toArray()).toEqual([4, 0, 4])
    expect(arange(3).maskedFill_(mask, 7).dtype).toBe('int64')
  })

  it('reads values and places as they were, also where they lie in the memory that it changes', () => {
    const next = () => long([1, 2, 3, 4, 5, 6, 7, 0])
    const one = () => arange(1, 9).float()
    const shifted = [9, 3, 5, 7, 9, 11, 13, 15]
    const row = one()
    expect(row.indexAdd_(0, next(), row).toArray()).toEqual(shifted)
    const rows = one()
    expect(rows.scatterAdd_(0, next(), rows).toArray()).toEqual(shifted)
    const part = one()
    expect(
      part
        .slice(0, 0, 4)
        .indexAdd_(0, long([0, 1, 2, 3]), part.slice(0, 1, 5))
        .toArray(),
    ).toEqual([3, 5, 7, 9])
    const values = long([10, 11, 12, 13])
    const places = () => long([3, 2, 1, 0])
    const changed = (change: (target: Tensor) => Tensor) => Array.from(change(places()).dataSync(), Number)
    expect(changed((x) => x.scatter_(0, x, values))).toEqual([13, 12, 11, 10])
    expect(changed((x) => x.scatter_(0, x.slice(0, 0, 2), values))).toEqual([3, 2, 11, 10])
    expect(changed((x) => x.scatterAdd_(0, x, values))).toEqual([16, 14, 12, 10])
    expect(changed((x) => x.indexAdd_(0, x, values))).toEqual([16, 14, 12, 10])
    expect(changed((x) => x.indexPut_([x], values))).toEqual([13, 12, 11, 10])
    expect(changed((x) => x.indexPut_([x], values, { accumulate: true }))).toEqual([16, 14, 12, 10])
    const mask = tensor([true, false, true])
    expect(mask.maskedFill_(mask, 0).toArray()).toEqual([false, false, false])
    const flipped = tensor([true, false, true])
    expect(flipped.copy_(where(flipped, flipped.logicalNot(), flipped)).toArray()).toEqual([
      false,
      false,
      false,
    ])
  })

  it('has gradients', () => {
    const whole = leaf([2, 3])
    const once = long([
      [0, 2],
      [1, 0],
    ])
    const check = (change: (x: Tensor, s: Tensor) => Tensor, source: Tensor) =>
      expect(gradcheck((x, s) => change(x.mul(1), s).square(), [whole, source])).toBe(true)
    check((x, s) => x.scatter_(1, once, s), leaf([2, 2]))
    check((x, s) => x.scatter_(1, once, s), leaf([2, 4])) // more values than places
    check((x, s) => x.scatterAdd_(1, places, s), leaf([2, 2]))
    check((x, s) => x.indexAdd_(1, long([2, 2]), s, { alpha: 3 }), leaf([2, 2]))
    check((x, s) => x.maskedFill_(mask, s), leaf([]))
  })

  it('refuses what does not fit', () => {
    expect(() => grid().scatter(0, long([[0]]), tensor([[1]], { dtype: 'float64' }))).toThrow(DTypeError)
    expect(() => arange(3).scatter(0, long([0]), 0.5)).toThrow(/0.5 cannot be stored in a tensor of int64/)
    expect(() => grid().scatterAdd(0, long([[0, 0]]), tensor([[1]]))).toThrow(/\[1, 2\].*\[3, 4\].*\[1, 1\]/)
    expect(() => grid().indexAdd(0, long([0]), tensor([1]))).toThrow(/expected a source of shape \[1, 4\]/)
    expect(() => grid().maskedFill(tensor([1]), 0)).toThrow(/mask must be bool, got float32/)
    expect(() => grid().gather(2, long([[0]]))).toThrow(ShapeError)
    expect(() => grid().scatter(0, [0] as unknown as Tensor, 1)).toThrow(/indices must be a tensor/)
    // Unlike `index`, these count from the front only.
    expect(() =>
      grid()
        .gather(0, long([[-1]]))
        .dataSync(),
    ).toThrow(/index -1 is out of range/)
    expect(() =>
      grid()
        .indexSelect(1, long([4]))
        .dataSync(),
    ).toThrow(/index 4 .* dimension 1 with size 4/)
  })
})

describe('a place that comes several times', () => {
  const [rows, columns, draws] = [7, 4, 600]
  const row = (i: number, j: number) => (i * i + 3 * j + (i >> 3)) % rows
  const value = (i: number, j: number) => (31 * i + 7 * j) % 251
  const table = <T>(height: number, width: number, at: (i: number, j: number) => T) =>
    Array.from({ length: height }, (_, i) => Array.from({ length: width }, (_, j) => at(i, j)))

  it.each(['uint8', 'float16', 'float32', 'int64'] as const)(
    'has the last one written to it, %s',
    (dtype) => {
      const places = long(table(draws, columns - 1, row))
      // float16 holds all of these numbers exactly.
      const source = tensor(table(draws, columns, value)).to(dtype)
      const expected = table(rows, columns, () => 0)
      for (let i = 0; i < draws; i++) {
        for (let j = 0; j < columns - 1; j++) expected[row(i, j)]![j] = value(i, j)
      }
      const same = (actual: Tensor, wanted: number[][]) =>
        expect(actual.to('float32').toArray()).toEqual(wanted)
      same(zeros([rows, columns]).to(dtype).scatter_(0, places, source), expected)
      const turned = zeros([columns, rows]).to(dtype)
      turned.t().scatter_(0, places, source)
      same(turned.t(), expected)

      const first = Array.from({ length: draws }, (_, i) => row(i, 0))
      const whole = table(rows, columns, () => 0)
      for (const [i, to] of first.entries()) whole[to] = table(draws, columns, value)[i]!
      same(
        zeros([rows, columns])
          .to(dtype)
          .indexPut_([long(first)], source),
        whole,
      )
      const second = first.map((_, i) => row(i, 1) % columns)
      const cells = table(rows, columns, () => 0)
      for (const [i, to] of first.entries()) cells[to]![second[i]!] = value(i, 2)
      const turnedAgain = zeros([columns, rows]).to(dtype)
      turnedAgain.t().indexPut_([long(first), long(second).sub(columns)], source.index(':', 2))
      same(turnedAgain.t(), cells)
    },
  )

  it('becomes true by any true that is added, and stays so', () => {
    const added = tensor([
      [true, false],
      [false, false],
      [false, true],
    ])
    const target = () => tensor([false, false, true, true]).unsqueeze(1).expand(4, 2).clone()
    const wanted = [
      [true, false],
      [false, true],
      [true, true],
      [true, true],
    ]
    const to = long([
      [0, 2],
      [0, 2],
      [2, 1],
    ])
    expect(target().scatterAdd_(0, to, added).toArray()).toEqual(wanted)
    const rowsTo = long([0, 0, 1])
    expect(target().indexAdd_(0, rowsTo, added).toArray()).toEqual(wanted)
    expect(target().indexPut_([rowsTo], added, { accumulate: true }).toArray()).toEqual(wanted)
  })

  it('does not hide indices out of range', () => {
    const values = tensor([1, 2, 3])
    const places = long([1, 3, 1])
    expect(() => zeros([3]).scatter_(0, places, values).dataSync()).toThrow(/index 3 is out of range/)
    expect(() => zeros([3]).indexPut_([places], values).dataSync()).toThrow(/index 3 is out of range/)
  })
})

describe('large tensors, shared among threads', () => {
  it('flips, rolls and pads as picking at computed places does', () => {
    const x = rand([300, 200])
    const [rows, columns] = [300, 200]
    const at = (size: number, from: (i: number) => number, count = size) =>
      Array.from({ length: count }, (_, i) => from(i))
    const same = (a: Tensor, b: Tensor) => expect(a.equal(b)).toBe(true)
    same(
      x.flip(0, 1),
      x.index(at(rows, (i) => rows - 1 - i)).index(
        ':',
        at(columns, (i) => columns - 1 - i),
      ),
    )
    same(x.roll(77, 0), x.index(at(rows, (i) => (i + rows - 77) % rows)))
    const mirror = (i: number, size: number) => (i < 0 ? -i : i >= size ? 2 * size - 2 - i : i)
    const picked = (t: Tensor) =>
      t.index(at(rows, (i) => mirror(i - 30, rows), 350)).index(
        ':',
        at(columns, (i) => mirror(i - 5, columns), 215),
      )
    same(pad(x, [5, 10, 30, 20], { mode: 'reflect' }), picked(x))
    const weights = rand([350, 215])
    const [a, b] = [x.clone().requiresGrad_(), x.clone().requiresGrad_()]
    pad(a, [5, 10, 30, 20], { mode: 'reflect' }).mul(weights).sum().backward()
    picked(b).mul(weights).sum().backward()
    expect(a.grad?.allclose(b.grad as Tensor, { rtol: 1e-5, atol: 1e-6 })).toBe(true)
    same(x.triu(3).add(x.tril(2)), x)
    same(x.repeat(2, 2).index('300:', '200:'), x)
    same(x.repeatInterleave(3, 1).index(':', '2::3'), x)
  })

  it('gathers rows and adds their gradients', () => {
    const weight = rand([50, 300]).requiresGrad_()
    const indices = arange(1000).remainder(50)
    F.embedding(indices, weight).sum().backward()
    expect(weight.grad?.equal(zeros([50, 300]).add(20))).toBe(true)
  })
})

describe('Embedding', () => {
  it('leaves the padding row at zero and without gradient', () => {
    const table = new nn.Embedding(4, 3, { paddingIdx: -1 })
    expect(table.paddingIdx).toBe(3)
    expect(table.weight.index(3).toArray()).toEqual([0, 0, 0])
    const out = table.forward(
      long([
        [3, 0],
        [0, 1],
      ]),
    )
    expect([...out.shape]).toEqual([2, 2, 3])
    out.sum().backward()
    expect(table.weight.grad?.toArray()).toEqual([
      [2, 2, 2],
      [1, 1, 1],
      [0, 0, 0],
      [0, 0, 0],
    ])
  })

  it('refuses what is not in the table', () => {
    const table = new nn.Embedding(4, 3)
    expect(() => table.forward(long([4])).dataSync()).toThrow(/index 4 is out of range/)
    expect(() => table.forward(long([-1])).dataSync()).toThrow(/index -1 is out of range/)
    expect(() => table.forward(tensor([1]))).toThrow(DTypeError)
    expect(() => new nn.Embedding(4, 3, { paddingIdx: 4 })).toThrow(ShapeError)
    expect(() => new nn.Embedding(0, 3)).toThrow(ConfigError)
  })
})

describe('edges', () => {
  it('logsumexp of rows of infinities, with a gradient that stays finite', () => {
    const x = tensor([
      [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
      [0, Number.POSITIVE_INFINITY],
      [0, Number.NEGATIVE_INFINITY],
    ])
    expect(x.logsumexp(1).toArray()).toEqual([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 0])
    const rows = x.index([0, 2]).detach().requiresGrad_()
    rows.logsumexp(1).sum().backward()
    expect(rows.grad?.toArray()).toEqual([
      [0, 0],
      [1, 0],
    ])
  })

  it('cumsum and cumprod of integers are exact', () => {
    const x = tensor([2 ** 52, 1, -3], { dtype: 'int64' })
    expect(x.cumsum(0).toArray()).toEqual([2 ** 52, 2 ** 52 + 1, 2 ** 52 - 2])
    expect(tensor([3, 7, -2], { dtype: 'int32' }).cumprod(0).toArray()).toEqual([3, 21, -42])
  })

  it('isclose, allclose and equal', () => {
    const x = tensor([1, Number.NaN, Number.POSITIVE_INFINITY])
    expect(x.isclose(x).toArray()).toEqual([true, false, true])
    expect(x.isclose(x, { equalNan: true }).toArray()).toEqual([true, true, true])
    expect(x.equal(x)).toBe(false)
    expect(tensor([1, 2]).equal(tensor([[1, 2]]))).toBe(false)
    expect(tensor([1, 2]).allclose(tensor([1.00001, 2]), { rtol: 0, atol: 1e-6 })).toBe(false)
    expect(() => tensor([1]).equal(tensor([1], { dtype: 'int64' }))).toThrow(DTypeError)
  })

  it.each<[string, () => unknown, new (message: string) => Error, RegExp]>([
    ['flip beyond', () => grid().flip(2), ShapeError, /dimension 2 .*\[3, 4\]/],
    ['flip twice', () => grid().flip(0, -2), ShapeError, /twice/],
    ['roll uneven', () => grid().roll([1, 2], [0]), ShapeError, /2 shifts for 1/],
    ['pad odd', () => pad(grid(), [1]), ShapeError, /two numbers/],
    ['pad away too much', () => pad(grid(), [-3, -3]), ShapeError, /-3 before and -3 after .* size 4/],
    ['reflect too far', () => pad(grid(), [4, 0], { mode: 'reflect' }), ShapeError, /'reflect' cannot add 4/],
    [
      'circular too far',
      () => pad(grid(), [5, 0], { mode: 'circular' }),
      ShapeError,
      /'circular' cannot add 5/,
    ],
    ['pad mode', () => pad(grid(), [1, 1], { mode: 'zeros' as 'reflect' }), ConfigError, /"zeros"/],
    ['repeat short', () => grid().repeat(2), ShapeError, /1 numbers for the 2 dimensions/],
    ['repeat enormous', () => grid().repeat(1e9, 1e9), ShapeError, /too many elements/],
    [
      'repeatInterleave',
      () => grid().repeatInterleave([1, 2], 0),
      ShapeError,
      /2 numbers of copies .* size 3/,
    ],
    ['tril of a vector', () => arange(3).tril(), ShapeError, /two dimensions/],
    ['diagonal', () => grid().diagonal(0, 1, -1), ShapeError, /the same/],
    ['movedim', () => grid().movedim([0, 1], [0]), ShapeError, /2 dimensions for 1 places/],
    ['unflatten', () => grid().unflatten(1, [3, -1]), ShapeError, /size 4 cannot become \[3, -1\]/],
    ['bmm', () => zeros([2, 3, 4]).bmm(zeros([3, 4, 5])), ShapeError, /\[2, 3, 4\].*\[3, 4, 5\]/],
    ['mm of stacks', () => zeros([2, 3, 4]).mm(zeros([4, 5])), ShapeError, /expected 2 and 2 dimensions/],
    ['einsum operands', () => einsum('ij,jk->ik', grid()), ConfigError, /2 operands, 1/],
    ['einsum output', () => einsum('ij->k', grid()), ConfigError, /k out of nothing/],
    ['einsum sizes', () => einsum('ij,jk', grid(), grid()), ShapeError, /j stands for sizes 4 and 3/],
    ['einsum letters', () => einsum('i1', grid()), ConfigError, /"1"/],
    ['pow of integers', () => arange(3).pow(-1), DTypeError, /int64 cannot be raised to -1/],
    ['norm of integers', () => arange(3).norm(), DTypeError, /int64/],
    ['topk beyond', () => grid().topk(9), ShapeError, /9 asked for/],
  ])('refuses at once: %s', (_, call, error, message) => {
    expect(call).toThrow(error)
    expect(call).toThrow(message)
  })
})
