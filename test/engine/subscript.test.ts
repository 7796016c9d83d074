import { describe, expect, it } from 'vitest'
import { AutogradError, ConfigError, DTypeError, ShapeError } from '../../src/engine/errors.ts'
import {
  arange,
  full,
  gradcheck,
  type Index,
  noGrad,
  ones,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'

const grid = () => arange(12).reshape([3, 4]).float()
const long = (values: number[] | number[][]) => tensor(values, { dtype: 'int64' })
const leaf = (shape: number[]) => {
  const count = shape.reduce((product, size) => product * size, 1)
  const values = Float64Array.from({ length: count }, (_, i) => Math.sin(1 + 1.7 * i))
  return tensor(values, { shape, requiresGrad: true })
}

describe('index', () => {
  it('gives views for numbers and ranges, copies for places and masks', () => {
    const x = grid()
    x.index('1:', 2).fill_(-1)
    expect(x.toArray()).toEqual([
      [0, 1, 2, 3],
      [4, 5, -1, 7],
      [8, 9, -1, 11],
    ])
    x.index([0]).fill_(5)
    x.index(x.lt(0)).fill_(5)
    expect(x.index(0).toArray()).toEqual([0, 1, 2, 3])
    expect(x.index(1, 2).item()).toBe(-1)
  })

  it('takes lists, nested lists and lists of booleans', () => {
    const x = grid()
    expect(x.index([2, -3]).toArray()).toEqual([
      [8, 9, 10, 11],
      [0, 1, 2, 3],
    ])
    expect(x.index([[0], [2]], [1, -1]).toArray()).toEqual([
      [1, 3],
      [9, 11],
    ])
    expect(x.index([true, false, true], 0).toArray()).toEqual([0, 8])
    expect([...x.index([]).shape]).toEqual([0, 4])
  })

  // NumPy's answers, for the stops '', 1, -3, -9 and 9.
  it.each<[string, number, string]>([
    ['', -1, '43210 432 43 43210 -'],
    ['3', -1, '3210 32 3 3210 -'],
    ['9', -1, '43210 432 43 43210 -'],
    ['-2', -1, '3210 32 3 3210 -'],
    ['-9', -1, '- - - - -'],
    ['', -2, '420 42 4 420 -'],
    ['3', -2, '31 3 3 31 -'],
    ['9', -2, '420 42 4 420 -'],
    ['-2', -2, '31 3 3 31 -'],
    ['-9', -2, '- - - - -'],
  ])('takes ranges backwards from %j by %d', (start, step, answers) => {
    const found = ['', '1', '-3', '-9', '9'].map((stop) =>
      arange(5).index(`${start}:${stop}:${step}`).toArray(),
    )
    expect(found.map((row) => (row as number[]).join('') || '-').join(' ')).toBe(answers)
  })

  it('takes ranges backwards beside other items, with gradients, but does not write to them', () => {
    const x = grid()
    expect(x.index('::-2', [0, 2]).toArray()).toEqual([
      [8, 10],
      [0, 2],
    ])
    expect(x.index(1, '::-1').toArray()).toEqual([7, 6, 5, 4])
    expect(gradcheck((t) => t.index('::-1', '-1:0:-2').square(), [leaf([2, 4])])).toBe(true)
    expect(() => x.indexPut_(['::-1'], 1)).toThrow(
      /negative step cannot be written to; .* flip\(\) the value/,
    )
    expect(x.toArray()).toEqual(grid().toArray())
  })

  it('takes a single integer in a tensor as a number', () => {
    const x = grid()
    expect([...x.index(tensor(1, { dtype: 'int64' })).shape]).toEqual([4])
    expect([...x.index(tensor(1, { dtype: 'int32' }), null).shape]).toEqual([1, 4])
  })

  it('adds up the gradients of places that come twice', () => {
    const x = leaf([3, 2])
    x.index([0, 2, 0])
      .mul(tensor([[1], [10], [100]], { dtype: 'float64' }))
      .sum()
      .backward()
    expect(x.grad?.toArray()).toEqual([
      [101, 101],
      [0, 0],
      [10, 10],
    ])
  })

  it.each<[string, Index[], new (message: string) => Error, RegExp]>([
    ['a number out of range', [5], ShapeError, /5 is out of range for dimension 0 with size 3/],
    ['a list out of range', [0, [1, -5]], ShapeError, /-5 is out of range for dimension 1 with size 4/],
    ['too many', [0, 0, 0], ShapeError, /3 indices for a tensor of shape \[3, 4\]/],
    ['a step of 0', ['::0'], ShapeError, /the step must not be 0 in "::0"/],
    ['a fraction', [0.5], ShapeError, /expected an integer, got 0.5/],
    ['NaN', [Number.NaN], ShapeError, /NaN/],
    ['nonsense', ['a:b'], ShapeError, /"a:b"/],
    ['a lone minus sign', ['-:2'], ShapeError, /minus sign/],
    ['two ellipses', ['...', '...'], ShapeError, /once/],
    ['a mask of another shape', [[true, false]], ShapeError, /mask of shape \[2\].*\[3, 4\]/],
    [
      'places that do not broadcast',
      [
        [0, 1],
        [0, 1, 2],
      ],
      ShapeError,
      /\[2\], \[3\]/,
    ],
    ['a floating tensor', [tensor([0.5])], DTypeError, /float32/],
    ['a uint8 tensor', [tensor([1, 0], { dtype: 'uint8' })], DTypeError, /uint8; bool\(\)/],
    ['undefined', [undefined as unknown as null], ShapeError, /undefined/],
  ])('refuses %s', (_, items, error, message) => {
    expect(() => grid().index(...items)).toThrow(error)
    expect(() => grid().index(...items)).toThrow(message)
  })

  it('finds places out of range in a tensor when a value is read', () => {
    expect(() =>
      grid()
        .index(long([0, 3]))
        .dataSync(),
    ).toThrow(/index 3 is out of range for dimension 0 with size 3/)
    expect(
      grid()
        .index(long([0, -3]))
        .sum()
        .item(),
    ).toBe(12)
  })
})

describe('indexPut_', () => {
  it('writes numbers and tensors to what index reads', () => {
    const x = grid()
      .indexPut_(['1:', '::2'], tensor([[1], [2]]))
      .indexPut_([0, [1, 2]], -1)
    expect(x.toArray()).toEqual([
      [0, -1, -1, 3],
      [1, 5, 1, 7],
      [2, 9, 2, 11],
    ])
    expect(
      x
        .indexPut_([x.gt(4)], 0)
        .sum()
        .item(),
    ).toBe(7)
  })

  it('adds with accumulate, as often as a place comes', () => {
    const x = zeros([3]).indexPut_([[0, 2, 0]], 1, { accumulate: true })
    expect(x.toArray()).toEqual([2, 0, 1])
    expect(x.indexPut_(['1:'], tensor([5, 6]), { accumulate: true }).toArray()).toEqual([2, 5, 7])
  })

  it('reads its value before it writes, also from the same memory', () => {
    expect(arange(5).indexPut_(['1:'], arange(4)).toArray()).toEqual([0, 0, 1, 2, 3])
    const x = arange(5)
    expect(x.indexPut_(['1:'], x.index(':-1')).toArray()).toEqual([0, 0, 1, 2, 3])
    const y = arange(5)
    expect(y.indexPut_([[1, 2, 3, 4]], y.index(':-1')).toArray()).toEqual([0, 0, 1, 2, 3])
  })

  it('writes through a view into the whole', () => {
    const x = zeros([2, 3])
    x.index(1).indexPut_([[0, 2]], 7)
    expect(x.toArray()).toEqual([
      [0, 0, 0],
      [7, 0, 7],
    ])
  })

  it.each<[string, Index[], number[]]>([
    ['a row', [1], [4]],
    ['ranges', ['1:', '::2'], [2, 2]],
    ['places', [[2, 0]], [2, 4]],
    ['places apart', [[2, 0], null, [1, 3]], [2, 1]],
    ['a mask', [[true, false, true]], [1, 4]],
  ])('has the gradients of the tensor and of the value: %s', (_, items, shape) => {
    for (const accumulate of [false, true]) {
      expect(
        gradcheck((x, v) => x.mul(2).indexPut_(items, v, { accumulate }), [leaf([3, 4]), leaf(shape)]),
      ).toBe(true)
      expect(
        gradcheck((x, v) => x.indexPut(items, v, { accumulate }).square(), [leaf([3, 4]), leaf(shape)]),
      ).toBe(true)
    }
  })

  it('has the gradients of a change through a view', () => {
    const change = (x: Tensor, v: Tensor) => {
      const whole = x.mul(2)
      whole.index('1:').indexPut_([':', [0, 3]], v)
      return whole.square()
    }
    expect(gradcheck(change, [leaf([3, 4]), leaf([2, 2])])).toBe(true)
  })

  it('counts as a change in place', () => {
    const x = leaf([3])
    const y = x.mul(1)
    const z = y.square()
    y.indexPut_([0], 1)
    expect(() => z.sum().backward()).toThrow(AutogradError)
    expect(() => x.indexPut_([0], 1)).toThrow(/leaf/)
    expect(
      noGrad(() => x.indexPut_([0], 1))
        .index(0)
        .item(),
    ).toBe(1)
  })

  it('notices when places have been changed since', () => {
    const places = long([0, 1])
    const y = leaf([3])
      .mul(1)
      .indexPut_([places], leaf([2]))
    places.fill_(2)
    expect(() => y.sum().backward()).toThrow(/changed in\s+place/)
  })

  it('refuses what does not fit', () => {
    expect(() => grid().indexPut_([0], tensor([1, 2, 3]))).toThrow(ShapeError)
    expect(() => grid().indexPut_([[0]], full([4], 1, { dtype: 'float64' }))).toThrow(DTypeError)
    expect(() => grid().indexPut_(0 as unknown as [], 1)).toThrow(ConfigError)
    expect(() => grid().indexPut_([0], undefined as unknown as number)).toThrow(/value must be a tensor/)
    expect(() =>
      ones([1])
        .expand(3)
        .indexPut_([[0]], 2),
    ).toThrow(/expanded/)
  })
})
