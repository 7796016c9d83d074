import { describe, expect, it } from 'vitest'
import {
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  arange,
  avgPool2d,
  channelsLast,
  DTypeError,
  full,
  gradcheck,
  manualSeed,
  maxPool2d,
  ones,
  randn,
  ShapeError,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'

const grid = (height: number, width: number) =>
  arange(height * width)
    .to('float32')
    .view(1, 1, height, width)

function leaf(...shape: number[]): Tensor {
  return randn(shape, { dtype: 'float64', requiresGrad: true })
}

describe('maxPool2d', () => {
  it('takes the largest of each window', () => {
    expect(maxPool2d(grid(4, 4), 2).toArray()).toEqual([
      [
        [
          [5, 7],
          [13, 15],
        ],
      ],
    ])
    expect(maxPool2d(grid(4, 4), [1, 3], { stride: [2, 1] }).toArray()).toEqual([
      [
        [
          [2, 3],
          [10, 11],
        ],
      ],
    ])
  })

  it('ignores the border, even below zero', () => {
    const out = maxPool2d(full([1, 1, 3, 3], -5), 3, { stride: 2, padding: 1 })
    expect(out.toArray()).toEqual([
      [
        [
          [-5, -5],
          [-5, -5],
        ],
      ],
    ])
  })

  it('lets a last window hang over with ceilMode, if it starts on the picture', () => {
    expect(maxPool2d(grid(5, 5), 2).shape).toEqual([1, 1, 2, 2])
    expect(maxPool2d(grid(5, 5), 2, { ceilMode: true }).shape).toEqual([1, 1, 3, 3])
    expect(maxPool2d(grid(5, 5), 2, { ceilMode: true }).index(0, 0, 2).toArray()).toEqual([21, 23, 24])
    // The third window of stride 3 over 4 + 2 · 1 would start behind the border: left out.
    expect(maxPool2d(grid(4, 4), 2, { stride: 3, padding: 1, ceilMode: true }).shape).toEqual([1, 1, 2, 2])
  })

  it('keeps NaN and sends its gradient where it came from', () => {
    const x = tensor([[[[1, Number.NaN, 2, 3]]]], { requiresGrad: true })
    const y = maxPool2d(x, [1, 2])
    expect(y.toArray()).toEqual([[[[Number.NaN, 3]]]])
    y.sum().backward()
    expect(x.grad?.toArray()).toEqual([[[[0, 1, 0, 1]]]])
  })

  it('gives the gradient to the first of equal values', () => {
    const x = zeros([1, 1, 2, 2], { requiresGrad: true })
    maxPool2d(x, 2).sum().backward()
    expect(x.grad?.toArray()).toEqual([
      [
        [
          [1, 0],
          [0, 0],
        ],
      ],
    ])
  })

  it('adds up where windows overlap', () => {
    const x = tensor([[[[0, 9, 0]]]], { requiresGrad: true })
    maxPool2d(x, [1, 2], { stride: 1 }).sum().backward()
    expect(x.grad?.toArray()).toEqual([[[[0, 2, 0]]]])
  })

  it('has the right gradients', () => {
    manualSeed(1)
    expect(gradcheck((x) => maxPool2d(x, 2), [leaf(2, 3, 4, 6)])).toBe(true)
    expect(gradcheck((x) => maxPool2d(x, 3, { stride: 2, padding: 1 }), [leaf(2, 17, 5, 6)])).toBe(true)
    expect(gradcheck((x) => maxPool2d(x, [3, 2], { stride: 1, dilation: [1, 2] }), [leaf(1, 2, 5, 5)])).toBe(
      true,
    )
    expect(gradcheck((x) => maxPool2d(x, 3, { ceilMode: true }), [leaf(1, 2, 5, 7)])).toBe(true)
  })

  it('knows windows of more than 255 values', () => {
    const values = randn([1, 3, 40, 40])
    const flat = values.view(3, 1600)
    expect(maxPool2d(values, 40).flatten().toArray()).toEqual(flat.max(1).values.toArray())
    const x = values.clone().requiresGrad_()
    maxPool2d(x, 40).sum().backward()
    const winners = flat.argmax(1).toArray() as number[]
    const gradient = x.grad?.view(3, 1600)
    expect(gradient?.sum().item()).toBe(3)
    winners.forEach((at, c) => {
      expect(gradient?.index(c, at).item()).toBe(1)
    })
  })

  it('takes a single picture', () => {
    expect(maxPool2d(ones([3, 4, 4]), 2).shape).toEqual([3, 2, 2])
  })

  it('takes an empty batch', () => {
    const x = zeros([0, 3, 4, 4], { requiresGrad: true })
    const y = maxPool2d(x, 2)
    expect(y.shape).toEqual([0, 3, 2, 2])
    y.sum().backward()
    expect(x.grad?.shape).toEqual([0, 3, 4, 4])
  })

  it('refuses what makes no sense, at once', () => {
    const x = ones([1, 1, 4, 4])
    expect(() => maxPool2d(x, 5)).toThrow(ShapeError)
    expect(() => maxPool2d(x, 5)).toThrow(/5 by 5 does not fit into pictures of 4 by 4/)
    expect(() => maxPool2d(x, 2, { padding: 2 })).toThrow(/at most half of kernelSize/)
    expect(() => maxPool2d(x, 0)).toThrow(ShapeError)
    expect(() => maxPool2d(x, 2, { stride: 0 })).toThrow(/stride/)
    expect(() => maxPool2d(x, [1, 2, 3])).toThrow(ShapeError)
    expect(() => maxPool2d(ones([4, 4]), 2)).toThrow(/\[N, C, H, W\]/)
    expect(() => maxPool2d(x.to('int64'), 2)).toThrow(DTypeError)
    expect(() => maxPool2d(zeros([1, 0, 4, 4]), 2)).toThrow(/must not be zero/)
    expect(() => maxPool2d(x, Number.NaN)).toThrow()
    expect(() => maxPool2d(x, 'two' as unknown as number)).toThrow()
  })
})

describe('avgPool2d', () => {
  it('counts the border or not', () => {
    const x = ones([1, 1, 2, 2])
    const corner = (y: Tensor) => y.index(0, 0, 0, 0).item()
    expect(corner(avgPool2d(x, 3, { stride: 1, padding: 1 }))).toBeCloseTo(4 / 9, 6)
    expect(corner(avgPool2d(x, 3, { stride: 1, padding: 1, countIncludePad: false }))).toBe(1)
    expect(corner(avgPool2d(x, 3, { stride: 1, padding: 1, divisorOverride: 2 }))).toBe(2)
  })

  it('divides by what of a hanging window lies on picture and border', () => {
    // Columns of 5 in windows of 2: the last one holds a single column.
    const out = avgPool2d(grid(2, 5), 2, { ceilMode: true })
    expect(out.flatten().toArray()).toEqual([3, 5, 6.5])
  })

  it('has the right gradients', () => {
    manualSeed(2)
    expect(gradcheck((x) => avgPool2d(x, 2), [leaf(2, 3, 4, 4)])).toBe(true)
    const options = { stride: 2, padding: 1, countIncludePad: false, ceilMode: true }
    expect(gradcheck((x) => avgPool2d(x, 3, options), [leaf(1, 2, 6, 5)])).toBe(true)
    expect(gradcheck((x) => avgPool2d(x, 2, { divisorOverride: 3 }), [leaf(1, 2, 4, 4)])).toBe(true)
  })

  it('refuses a divisor of zero', () => {
    expect(() => avgPool2d(ones([1, 1, 2, 2]), 2, { divisorOverride: 0 })).toThrow(/divisorOverride/)
  })
})

describe('adaptive pooling', () => {
  it('shares the picture out, with overlap where sizes do not divide', () => {
    expect(adaptiveAvgPool2d(grid(1, 5), [1, 3]).flatten().toArray()).toEqual([0.5, 2, 3.5])
    expect(adaptiveMaxPool2d(grid(1, 5), [1, 3]).flatten().toArray()).toEqual([1, 3, 4])
    expect(adaptiveAvgPool2d(grid(2, 2), 3).shape).toEqual([1, 1, 3, 3])
  })

  it('averages whole pictures', () => {
    const x = randn([2, 19, 7, 5])
    const expected = x.mean([2, 3]).dataSync()
    adaptiveAvgPool2d(x, 1)
      .dataSync()
      .forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i] as number, 6)
      })
  })

  it('has the right gradients', () => {
    manualSeed(3)
    expect(gradcheck((x) => adaptiveAvgPool2d(x, [2, 3]), [leaf(2, 3, 5, 4)])).toBe(true)
    expect(gradcheck((x) => adaptiveAvgPool2d(x, 1), [leaf(2, 18, 3, 3)])).toBe(true)
    expect(gradcheck((x) => adaptiveMaxPool2d(x, [2, 3]), [leaf(2, 3, 5, 4)])).toBe(true)
  })

  it('refuses sizes below one', () => {
    expect(() => adaptiveAvgPool2d(ones([1, 1, 4, 4]), 0)).toThrow(ShapeError)
    expect(() => adaptiveMaxPool2d(ones([1, 1, 4, 4]), [2, -1])).toThrow(ShapeError)
  })
})

describe('layouts and precisions', () => {
  const pools: [string, (x: Tensor) => Tensor][] = [
    ['maxPool2d', (x) => maxPool2d(x, 3, { stride: 2, padding: 1 })],
    ['avgPool2d', (x) => avgPool2d(x, 3, { stride: 2, padding: 1 })],
    ['adaptiveAvgPool2d', (x) => adaptiveAvgPool2d(x, 3)],
    ['adaptiveMaxPool2d', (x) => adaptiveMaxPool2d(x, 3)],
  ]
  for (const [name, pool] of pools) {
    it(`${name}: the same from any layout`, () => {
      const x = randn([2, 21, 9, 8])
      const expected = pool(x).toArray()
      expect(pool(channelsLast(x)).toArray()).toEqual(expected)
      const turned = x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
      expect(pool(turned).toArray()).toEqual(expected)
    })

    for (const dtype of ['bfloat16', 'float16'] as const) {
      it(`${name}: ${dtype} computes in float32 and rounds once`, () => {
        const x = randn([2, 21, 9, 8]).to(dtype)
        expect(pool(x).dtype).toBe(dtype)
        expect(pool(x).toArray()).toEqual(pool(x.to('float32')).to(dtype).toArray())
        const leaf = x.detach().requiresGrad_()
        pool(leaf).sum().backward()
        const wide = x.to('float32').requiresGrad_()
        pool(wide).sum().backward()
        expect(leaf.grad?.toArray()).toEqual(wide.grad?.to(dtype).toArray())
      })
    }
  }
})
