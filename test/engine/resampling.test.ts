import { describe, expect, it } from 'vitest'
import { addon } from '../../src/engine/addon.ts'
import {
  AnnealError,
  affineGrid,
  arange,
  ConfigError,
  channelsLast,
  DTypeError,
  full,
  gradcheck,
  gridSample,
  type InterpolateOptions,
  interpolate,
  manualSeed,
  type NestedNumbers,
  ones,
  pixelShuffle,
  pixelUnshuffle,
  rand,
  randn,
  ShapeError,
  setNumThreads,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'

function leaf(...shape: number[]): Tensor {
  return randn(shape, { dtype: 'float64', requiresGrad: true })
}

/** The bits of the gradients of `run`, computed by one thread and by two. */
function gradientsByThreads(run: () => Tensor[]): [unknown[], unknown[]] {
  const results = [1, 2].map((threads) => {
    setNumThreads(threads)
    return run().map((x) => x.grad?.toArray())
  })
  return results as [unknown[], unknown[]]
}

describe('interpolate', () => {
  it('repeats the nearest pixel, of any dtype', () => {
    for (const dtype of ['float32', 'float64', 'bfloat16', 'float16', 'int64', 'uint8', 'bool'] as const) {
      const x = tensor([[[[0, 1]]]]).to(dtype)
      const out = interpolate(x, { scaleFactor: 2 })
      expect(out.dtype).toBe(dtype)
      expect(out.to('float32').toArray()).toEqual([
        [
          [
            [0, 0, 1, 1],
            [0, 0, 1, 1],
          ],
        ],
      ])
    }
  })

  it('blends between pixels', () => {
    const x = tensor([[[[0, 4]]]])
    const line = (options: InterpolateOptions) => interpolate(x, { mode: 'bilinear', ...options }).toArray()
    expect(line({ size: [1, 4] })).toEqual([[[[0, 1, 3, 4]]]])
    expect(line({ size: [1, 5], alignCorners: true })).toEqual([[[[0, 1, 2, 3, 4]]]])
    expect(interpolate(tensor([[[0, 4]]]), { mode: 'linear', size: 4 }).toArray()).toEqual([[[0, 1, 3, 4]]])
  })

  it('has the right gradients', () => {
    manualSeed(1)
    const check = (options: InterpolateOptions, ...shape: number[]) =>
      gradcheck((x) => interpolate(x, options), [leaf(...shape)])
    expect(check({ scaleFactor: 2 }, 2, 3, 2, 3)).toBe(true)
    expect(check({ size: [2, 7] }, 1, 2, 5, 3)).toBe(true)
    for (const alignCorners of [false, true]) {
      expect(check({ mode: 'bilinear', alignCorners, scaleFactor: [2, 1.5] }, 2, 3, 3, 4)).toBe(true)
      expect(check({ mode: 'bilinear', alignCorners, size: [2, 3] }, 1, 2, 5, 7)).toBe(true)
      expect(check({ mode: 'linear', alignCorners, size: 7 }, 2, 3, 4)).toBe(true)
    }
  })

  it('computes in half precision, near the float32 values', () => {
    manualSeed(2)
    for (const dtype of ['bfloat16', 'float16'] as const) {
      const x = randn([2, 5, 4, 3]).to(dtype).requiresGrad_()
      const wide = x.detach().to('float32').requiresGrad_()
      const options = { mode: 'bilinear', scaleFactor: 2 } as const
      const [out, expected] = [interpolate(x, options), interpolate(wide, options)]
      expect(out.dtype).toBe(dtype)
      expect(out.detach().to('float32').sub(expected.detach()).abs().max().item()).toBeLessThan(1e-2)
      out.square().sum().backward()
      expected.square().sum().backward()
      expect(x.grad?.dtype).toBe(dtype)
      expect(x.grad!.to('float32').sub(wide.grad!).abs().max().item()).toBeLessThan(0.1)
    }
  })

  it('gives the same from every layout, channels-last, and the same bits for any number of threads', () => {
    manualSeed(3)
    const x = randn([2, 20, 30, 40])
    const options = { mode: 'bilinear', scaleFactor: 1.7 } as const
    const expected = interpolate(x, options)
    expect(expected.strides).toEqual(channelsLast(expected).strides)
    const turned = x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    expect(interpolate(turned, options).toArray()).toEqual(expected.toArray())
    const half = randn([2, 20, 30, 80])
    half.index(':', ':', ':', '1::2').copy_(x)
    expect(interpolate(half.index(':', ':', ':', '1::2'), options).toArray()).toEqual(expected.toArray())
    const [one, two] = gradientsByThreads(() => {
      const input = x.clone().requiresGrad_()
      interpolate(input, options).square().sum().backward()
      return [input]
    })
    expect(two).toEqual(one)
  })

  it('goes without pictures, and refuses empty ones', () => {
    const x = zeros([0, 3, 4, 4], { requiresGrad: true })
    const out = interpolate(x, { size: 8, mode: 'bilinear' })
    expect(out.shape).toEqual([0, 3, 8, 8])
    out.sum().backward()
    expect(x.grad?.shape).toEqual([0, 3, 4, 4])
    expect(() => interpolate(zeros([1, 0, 4, 4]), { size: 2 })).toThrow(/\[1, 0, 4, 4\]/)
    expect(() => interpolate(zeros([1, 3, 0, 4]), { size: 2 })).toThrow(ShapeError)
  })

  it('refuses options that make no sense', () => {
    const x = ones([1, 2, 4, 4])
    const bad = (options: unknown) => () => interpolate(x, options as InterpolateOptions)
    expect(bad({})).toThrow(/either a size or a scaleFactor/)
    expect(bad(undefined)).toThrow(ConfigError)
    expect(bad({ size: 2, scaleFactor: 2 })).toThrow(ConfigError)
    expect(bad({ size: 2, mode: 'cubic' })).toThrow(/nearest, linear, bilinear; got "cubic"/)
    expect(bad({ size: 2, alignCorners: true })).toThrow(/alignCorners/)
    expect(bad({ size: 2, recomputeScaleFactor: true })).toThrow(ConfigError)
    expect(bad({ size: 2, mode: 'linear' })).toThrow(/\[N, C, L\], got \[1, 2, 4, 4\]/)
    expect(bad({ size: [2, 2, 2] })).toThrow(/one number or 2/)
    expect(bad({ size: 'large' })).toThrow(ShapeError)
    for (const size of [0, -1, 1.5, Number.NaN]) expect(bad({ size })).toThrow(ShapeError)
    expect(bad({ size: 2 ** 40 })).toThrow(AnnealError)
    for (const scaleFactor of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 'two']) {
      expect(bad({ scaleFactor })).toThrow(AnnealError)
    }
    expect(bad({ scaleFactor: 0.1 })).toThrow(/at least 1, got \[0, 0\] for an input of \[1, 2, 4, 4\]/)
    expect(() => interpolate(x.to('int64'), { size: 2, mode: 'bilinear' })).toThrow(DTypeError)
    expect(() => interpolate(ones([4, 4]), { size: 2 })).toThrow(ShapeError)
    expect(() => interpolate([1] as unknown as Tensor, { size: 2 })).toThrow(AnnealError)
  })
})

describe('gridSample', () => {
  const square = arange(4).to('float32').view(1, 1, 2, 2)
  const at = (...points: number[][]) => tensor([[points]])

  it('reads between pixels and outside of the picture', () => {
    const middle = at([0, 0], [-0.5, -0.5], [3, 3])
    expect(gridSample(square, middle).toArray()).toEqual([[[[1.5, 0, 0]]]])
    expect(gridSample(square, middle, { paddingMode: 'border' }).toArray()).toEqual([[[[1.5, 0, 3]]]])
    expect(gridSample(square, at([1, 1], [1, -1]), { alignCorners: true }).toArray()).toEqual([[[[3, 1]]]])
    // Half of the value lies beyond the edge.
    expect(gridSample(square, at([1, 0.5])).toArray()).toEqual([[[[1.5]]]])
    // A step beyond the mirror is a step back.
    const reflected = gridSample(square, at([1.5, 0.5], [2.5, 0.5]), { paddingMode: 'reflection' })
    expect(reflected.toArray()).toEqual([[[[3, 2]]]])
  })

  it('takes the nearest pixel, of two the even one', () => {
    const line = arange(4).to('float32').view(1, 1, 1, 4)
    const points = at([-0.9, 0], [0, 0], [0.5, 0], [0.9, 0])
    expect(gridSample(line, points, { mode: 'nearest' }).toArray()).toEqual([[[[0, 2, 2, 3]]]])
  })

  it('survives positions that are no numbers', () => {
    const wild = at([Number.NaN, 0], [Number.POSITIVE_INFINITY, 0], [-1e30, 1e30])
    for (const mode of ['bilinear', 'nearest'] as const) {
      for (const alignCorners of [false, true]) {
        expect(gridSample(square, wild, { mode, alignCorners }).toArray()).toEqual([[[[0, 0, 0]]]])
        for (const paddingMode of ['border', 'reflection'] as const) {
          const x = square.clone().requiresGrad_()
          const out = gridSample(x, wild, { mode, alignCorners, paddingMode })
          expect(out.detach().isfinite().all().item()).toBeTruthy()
          out.sum().backward()
          expect(x.grad?.sum().item()).toBeCloseTo(3, 5)
        }
      }
    }
  })

  it('has the right gradients for pictures and grid', () => {
    manualSeed(4)
    for (const paddingMode of ['zeros', 'border', 'reflection'] as const) {
      for (const alignCorners of [false, true]) {
        const grid = rand([2, 3, 2, 2], { dtype: 'float64' }).mul(3).sub(1.5).requiresGrad_()
        const check = (mode: 'bilinear' | 'nearest') =>
          gradcheck((x, g) => gridSample(x, g, { mode, paddingMode, alignCorners }), [leaf(2, 3, 4, 3), grid])
        expect(check('bilinear')).toBe(true)
        expect(check('nearest')).toBe(true)
      }
    }
  })

  it('gives the same from every layout, and the same bits for any number of threads', () => {
    manualSeed(5)
    const x = randn([2, 70, 9, 8])
    const grid = rand([2, 40, 30, 2]).mul(2.4).sub(1.2)
    const expected = gridSample(x, grid)
    expect(expected.strides).toEqual(channelsLast(expected).strides)
    const turned = x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    const turnedGrid = grid.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    expect(gridSample(turned, turnedGrid).toArray()).toEqual(expected.toArray())
    const [one, two] = gradientsByThreads(() => {
      const [input, positions] = [x.clone().requiresGrad_(), grid.clone().requiresGrad_()]
      gridSample(input, positions).square().sum().backward()
      return [input, positions]
    })
    expect(two[1]).toEqual(one[1])
    // A GPU adds up the gradients of pictures in no fixed order; the emulation has one.
    if (x.device === 'cpu' || addon.cudaInfo().emulated) return expect(two[0]).toEqual(one[0])
    const [again, before] = [two[0], one[0]].map((grad) => tensor(grad as NestedNumbers))
    expect(again!.sub(before!).abs().max().item()).toBeLessThan(1e-4 * before!.abs().max().item())
  })

  it('gives only the gradients that are wanted', () => {
    const grid = zeros([1, 1, 1, 2], { requiresGrad: true })
    gridSample(square, grid).sum().backward()
    // Two pixels an axis, one step apart by 1 and by 2, and -1 to 1 spans both.
    expect(grid.grad?.toArray()).toEqual([[[[1, 2]]]])
  })

  it('computes in half precision by way of float32', () => {
    manualSeed(6)
    const [x, grid] = [randn([1, 3, 4, 4]), rand([1, 2, 2, 2])].map((t) => t.to('bfloat16').requiresGrad_())
    const out = gridSample(x!, grid!)
    expect(out.dtype).toBe('bfloat16')
    const expected = gridSample(x!.detach().to('float32'), grid!.detach().to('float32'))
    expect(out.detach().to('float32').sub(expected).abs().max().item()).toBeLessThan(2e-2)
    out.sum().backward()
    expect([x!.grad?.dtype, grid!.grad?.dtype]).toEqual(['bfloat16', 'bfloat16'])
  })

  it('goes without pictures and without positions', () => {
    expect(gridSample(zeros([0, 3, 4, 4]), zeros([0, 2, 2, 2])).shape).toEqual([0, 3, 2, 2])
    const x = ones([1, 3, 4, 4], { requiresGrad: true })
    gridSample(x, zeros([1, 0, 5, 2]))
      .sum()
      .backward()
    expect(x.grad?.abs().sum().item()).toBe(0)
  })

  it('refuses what does not fit', () => {
    const grid = zeros([1, 2, 2, 2])
    expect(() => gridSample(square, zeros([1, 2, 2, 3]))).toThrow(/\[N, height, width, 2\].*\[1, 2, 2, 3\]/)
    expect(() => gridSample(square, zeros([2, 2, 2, 2]))).toThrow(/1 pictures/)
    expect(() => gridSample(square.to('float64'), grid)).toThrow(DTypeError)
    expect(() => gridSample(square.to('int64'), grid)).toThrow(DTypeError)
    expect(() => gridSample(zeros([1, 0, 2, 2]), grid)).toThrow(ShapeError)
    expect(() => gridSample(square, grid, { mode: 'cubic' as 'nearest' })).toThrow(ConfigError)
    expect(() => gridSample(square, grid, { paddingMode: 'wrap' as 'zeros' })).toThrow(
      /zeros, border, reflection/,
    )
    expect(() => gridSample(square, undefined as unknown as Tensor)).toThrow(AnnealError)
  })
})

describe('affineGrid', () => {
  it('gives gridSample the identity', () => {
    manualSeed(7)
    const x = randn([2, 3, 5, 4])
    const theta = tensor([
      [1, 0, 0],
      [0, 1, 0],
    ]).expand(2, 2, 3)
    for (const alignCorners of [false, true]) {
      const grid = affineGrid(theta, [2, 3, 5, 4], { alignCorners })
      expect(gridSample(x, grid, { alignCorners }).sub(x).abs().max().item()).toBeLessThan(1e-5)
    }
  })

  it('has the right gradients', () => {
    expect(gradcheck((theta) => affineGrid(theta, [2, 1, 3, 2]), [leaf(2, 2, 3)])).toBe(true)
  })

  it('refuses what does not fit', () => {
    expect(() => affineGrid(ones([2, 2, 3]), [3, 1, 4, 4])).toThrow(/\[3, 2, 3\].*\[2, 2, 3\]/)
    expect(() => affineGrid(ones([1, 2, 3]), [1, 1, 4])).toThrow(ShapeError)
    expect(() => affineGrid(ones([1, 2, 3]), [1, 1, 4, Number.NaN])).toThrow(ShapeError)
    expect(() => affineGrid(ones([1, 2, 3]).to('int64'), [1, 1, 4, 4])).toThrow(DTypeError)
    expect(() => affineGrid(null as unknown as Tensor, [1, 1, 4, 4])).toThrow(AnnealError)
  })
})

describe('pixelShuffle', () => {
  it('makes pixels of channels, of any dtype, and back', () => {
    for (const dtype of ['float32', 'float64', 'bfloat16', 'int64', 'uint8', 'bool'] as const) {
      const x = arange(4).view(1, 4, 1, 1).to(dtype)
      const wide = pixelShuffle(x, 2)
      expect(wide.dtype).toBe(dtype)
      expect(wide.toArray()).toEqual(x.view(1, 1, 2, 2).toArray())
      expect(pixelUnshuffle(wide, 2).toArray()).toEqual(x.toArray())
    }
    const x = randn([2, 18, 3, 4])
    const wide = pixelShuffle(x, 3)
    const expected = x.view(2, 2, 3, 3, 3, 4).permute(0, 1, 4, 2, 5, 3).reshape([2, 2, 9, 12])
    expect(wide.toArray()).toEqual(expected.toArray())
    expect(wide.strides).toEqual(channelsLast(wide).strides)
  })

  it('has the right gradients', () => {
    expect(gradcheck((x) => pixelShuffle(x, 2), [leaf(2, 8, 2, 1)])).toBe(true)
    expect(gradcheck((x) => pixelUnshuffle(x, 2), [leaf(3, 2, 4)])).toBe(true)
  })

  it('goes without pictures', () => {
    expect(pixelShuffle(zeros([0, 8, 2, 3]), 2).shape).toEqual([0, 2, 4, 6])
    expect(pixelShuffle(full([2, 4, 0, 3], 1), 2).shape).toEqual([2, 1, 0, 6])
  })

  it('refuses what does not fit', () => {
    expect(() => pixelShuffle(ones([1, 6, 2, 2]), 2)).toThrow(/6 channels of \[1, 6, 2, 2\].*multiple of 4/)
    expect(() => pixelUnshuffle(ones([1, 6, 3, 2]), 2)).toThrow(/\[1, 6, 3, 2\] are not multiples/)
    for (const factor of [0, -2, 1.5, Number.NaN, 1e9]) {
      expect(() => pixelShuffle(ones([1, 4, 2, 2]), factor)).toThrow(ShapeError)
    }
    expect(() => pixelShuffle(ones([4, 2]), 2)).toThrow(/\[\.\.\., C, H, W\]/)
    expect(() => pixelShuffle(ones([1, 4, 2, 2]), '2' as unknown as number)).toThrow(AnnealError)
  })
})
