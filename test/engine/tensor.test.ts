import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import {
  AnnealError,
  arange,
  DTypeError,
  eye,
  full,
  linspace,
  oneHot,
  ones,
  ShapeError,
  tensor,
  zeros,
} from '../../src/engine/index.ts'

describe('creation', () => {
  it('takes nested arrays, typed arrays and numbers', () => {
    const x = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ])
    expect(x.shape).toEqual([2, 3])
    expect(x.dtype).toBe('float32')
    expect(x.toArray()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ])
    expect(tensor(new Float64Array([1, 2, 3, 4]), { shape: [2, 2] }).dtype).toBe('float64')
    expect(tensor(7).shape).toEqual([])
    expect(tensor(7).item()).toBe(7)
    expect(tensor([true, false]).toArray()).toEqual([true, false])
    expect(tensor([]).shape).toEqual([0])
    expect(tensor([[], []]).shape).toEqual([2, 0])
  })

  it('keeps integers exact', () => {
    const big = 2 ** 53 - 1
    expect(tensor([big, -big], { dtype: 'int64' }).toArray()).toEqual([big, -big])
    expect(tensor(new BigInt64Array([5n, -6n])).toArray()).toEqual([5, -6])
    expect(tensor([255, 0], { dtype: 'uint8' }).toArray()).toEqual([255, 0])
    expect(tensor(new Int8Array([-1, 2])).dtype).toBe('int32')
  })

  it('rounds to half precision as the hardware does', () => {
    // 1 + 2^-8 lies halfway between two bfloat16 numbers: to even. 2^-24 is float16's smallest subnormal.
    expect(
      tensor([1 + 2 ** -8, 1 + 3 * 2 ** -8])
        .to('bfloat16')
        .toArray(),
    ).toEqual([1, 1 + 2 ** -6])
    expect(
      tensor([2 ** -24, 65504, 65536, 1 + 2 ** -11])
        .to('float16')
        .toArray(),
    ).toEqual([2 ** -24, 65504, Number.POSITIVE_INFINITY, 1])
  })

  it('fills, counts and spaces', () => {
    expect(zeros([2, 2]).toArray()).toEqual([
      [0, 0],
      [0, 0],
    ])
    expect(ones(3, { dtype: 'int64' }).toArray()).toEqual([1, 1, 1])
    expect(full([2], 2.5).toArray()).toEqual([2.5, 2.5])
    expect(arange(5).dtype).toBe('int64')
    expect(arange(1, 7, 2).toArray()).toEqual([1, 3, 5])
    expect(arange(5, 0, -2).toArray()).toEqual([5, 3, 1])
    expect(arange(0, 1, 0.25).toArray()).toEqual([0, 0.25, 0.5, 0.75])
    expect(linspace(0, 1, 5).toArray()).toEqual([0, 0.25, 0.5, 0.75, 1])
    expect(eye(2, 3).toArray()).toEqual([
      [1, 0, 0],
      [0, 1, 0],
    ])
    expect(oneHot(tensor([1, 0], { dtype: 'int64' }), 3).toArray()).toEqual([
      [0, 1, 0],
      [1, 0, 0],
    ])
  })

  it.each([
    ['ragged rows', () => tensor([[1, 2], [3]])],
    ['values that do not fill the shape', () => tensor(new Float32Array(5), { shape: [2, 3] })],
    ['a negative size', () => zeros([-1, 2])],
    ['a fractional size', () => zeros([1.5])],
    ['more than eight dimensions', () => zeros([1, 1, 1, 1, 1, 1, 1, 1, 1])],
    ['an overflowing shape', () => zeros([2 ** 40, 2 ** 40])],
    ['steps that lead nowhere', () => arange(0, 5, -1)],
  ])('refuses %s', (_, make) => {
    expect(make).toThrow(ShapeError)
  })

  it('refuses what is not a dtype, by name', () => {
    expect(() => zeros([2], { dtype: 'float31' as 'float32' })).toThrow(/float31.*float32, float64/)
    expect(() => zeros([2], { dtype: 'float31' as 'float32' })).toThrow(DTypeError)
  })

  it('says how much memory an impossible allocation asked for', () => {
    expect(() => zeros([2 ** 38])).toThrow(/1048576\.0 MiB asked for/)
    expect(zeros([4]).toArray()).toEqual([0, 0, 0, 0])
  })
})

describe('reading', () => {
  it('gives values in logical order whatever the memory order', async () => {
    const x = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ])
    expect([...(await x.t().data())]).toEqual([1, 4, 2, 5, 3, 6])
    expect([...x.t().dataSync()]).toEqual([1, 4, 2, 5, 3, 6])
  })

  it('sees the values of the moment of the call', async () => {
    const x = zeros([1000])
    const before = x.data()
    x.add_(1)
    const after = x.data()
    expect((await before)[999]).toBe(0)
    expect((await after)[999]).toBe(1)
  })

  it('refuses item() of several elements', () => {
    expect(() => ones([2]).item()).toThrow(/\[2\]/)
  })

  it('throws by name once freed', () => {
    const x = ones([2])
    x.dispose()
    x.dispose()
    expect(x.isAlive).toBe(false)
    expect(() => x.add(1)).toThrow(AnnealError)
    expect(() => x.add(1)).toThrow(/has been freed/)
    expect(inspect(x)).toBe('tensor(<freed>)')
  })
})

describe('views', () => {
  const x = arange(24).reshape(2, 3, 4)

  it('share memory', () => {
    const base = zeros([2, 3])
    base.t().select(0, 1).fill_(5)
    expect(base.toArray()).toEqual([
      [0, 5, 0],
      [0, 5, 0],
    ])
  })

  it('index as NumPy does', () => {
    expect(x.index(1, ':', '1:4:2').toArray()).toEqual([
      [13, 15],
      [17, 19],
      [21, 23],
    ])
    expect(x.index('...', -1).toArray()).toEqual([
      [3, 7, 11],
      [15, 19, 23],
    ])
    expect(x.index(null, 0, '-1:').shape).toEqual([1, 1, 4])
    expect(x.index(':', [2, 0], 0).toArray()).toEqual([
      [8, 0],
      [20, 12],
    ])
    expect(x.index('5:').shape).toEqual([0, 3, 4])
    expect(x.index(x.gt(20)).toArray()).toEqual([21, 22, 23])
    expect(x.index(0, tensor([true, false, true])).toArray()).toEqual([
      [0, 1, 2, 3],
      [8, 9, 10, 11],
    ])
  })

  it('reorder, squeeze, expand and split', () => {
    expect(x.permute(2, 0, 1).shape).toEqual([4, 2, 3])
    expect(x.transpose(0, -1).shape).toEqual([4, 3, 2])
    expect(x.unsqueeze(-1).squeeze().shape).toEqual([2, 3, 4])
    expect(
      tensor([[1], [2]])
        .expand(-1, 3)
        .toArray(),
    ).toEqual([
      [1, 1, 1],
      [2, 2, 2],
    ])
    expect(x.flatten(1).shape).toEqual([2, 12])
    expect(x.split(2, 1).map((part) => part.shape[1])).toEqual([2, 1])
    expect(x.chunk(3, 2).map((part) => part.shape[2])).toEqual([2, 2])
  })

  it('refuse to view what needs a copy; reshape copies', () => {
    const turned = x.permute(2, 1, 0)
    expect(() => turned.view(-1)).toThrow(/use reshape/)
    expect(turned.reshape(-1).toArray()).toHaveLength(24)
    expect(() => x.view(5, 5)).toThrow(/24 elements/)
  })

  it.each([
    ['an index out of range', () => x.index(2)],
    ['too many indices', () => x.index(0, 0, 0, 0)],
    ['a dimension out of range', () => x.sum(3)],
    ['a dimension twice', () => x.permute(0, 0, 1)],
    ['sizes that cannot be expanded', () => x.expand(2, 5, 4)],
    ['a step of zero', () => x.index('::0')],
    ['an unreadable range', () => x.index('a:b')],
  ])('refuse %s', (_, use) => {
    expect(use).toThrow(ShapeError)
  })
})

describe('printing', () => {
  it('looks like PyTorch', () => {
    expect(
      String(
        tensor([
          [1, 2.5],
          [-3, 4],
        ]),
      ),
    ).toBe('tensor([[ 1.0000,  2.5000],\n        [-3.0000,  4.0000]])')
    expect(String(arange(3))).toBe('tensor([0, 1, 2])')
    expect(String(tensor([1, 2], { dtype: 'float64' }))).toBe('tensor([1., 2.], dtype=float64)')
    expect(String(tensor([true, false]))).toBe('tensor([ True, False])')
    expect(String(tensor([1], { requiresGrad: true }).mul(2))).toBe('tensor([2.], gradFn=<mul>)')
    expect(String(arange(2000))).toBe('tensor([   0,    1,    2,  ..., 1997, 1998, 1999])')
    expect(String(tensor([Number.NaN, Number.POSITIVE_INFINITY]))).toBe('tensor([nan, inf])')
    expect(String(tensor([]))).toBe('tensor([])')
  })

  // The texts are PyTorch's.
  it.each([
    [[0.03125, 0.15625], '[0.0312, 0.1562]'],
    [[-0.03125, -0.09375], '[-0.0312, -0.0938]'],
    [[1234.15625], '[1234.1562]'],
    [[98304.5, 98305.5, 1e9], '[9.8304e+04, 9.8306e+04, 1.0000e+09]'],
    [[100002.5, 100007.5, 1e9], '[1.0000e+05, 1.0001e+05, 1.0000e+09]'],
    [[99999.5, 1e9], '[1.0000e+05, 1.0000e+09]'],
    // No half is exact here: as doubles these lie a little above and below.
    [[0.5, 2.00005], '[0.5000, 2.0000]'],
    [[0.5, 1.00005], '[0.5000, 1.0001]'],
  ])('an exact half goes to the even digit: %j', (values, text) => {
    expect(String(tensor(values, { dtype: 'float64' }))).toBe(`tensor(${text}, dtype=float64)`)
  })

  it('what stands behind the values starts a line where the last one would pass 80 characters', () => {
    const texts = (count: number) => ({
      integers: String(arange(count).add(10).to('int32')),
      leaf: String(arange(count).double().requiresGrad_()),
    })
    const eighteen = '10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27'
    expect(texts(18).integers).toBe(`tensor([${eighteen}],\n       dtype=int32)`)
    expect(texts(19).integers).toBe(`tensor([${eighteen},\n        28], dtype=int32)`)
    const ten = '0., 1., 2., 3., 4., 5., 6., 7., 8., 9.'
    expect(texts(10).leaf).toBe(`tensor([${ten}], dtype=float64,\n       requiresGrad=true)`)
    const twelve = ' 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11.'
    expect(texts(12).leaf).toBe(`tensor([${twelve}],\n       dtype=float64, requiresGrad=true)`)
  })
})
