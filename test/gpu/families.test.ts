// Softmax, losses, normalisations, pooling and resampling beside the processor: shapes for each of the ways that their
// kernels have, which depend on sizes. The values themselves are PyTorch's in test/parity, which runs on a GPU as well.
import { beforeEach, describe, expect, it } from 'vitest'
import { addon } from '../../src/engine/addon.ts'
import {
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  affineGrid,
  avgPool2d,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  channelsLast,
  crossEntropy,
  type DType,
  gridSample,
  groupNorm,
  interpolate,
  layerNorm,
  logSoftmax,
  manualSeed,
  maxPool2d,
  nllLoss,
  pixelShuffle,
  pixelUnshuffle,
  rand,
  randint,
  randn,
  softmax,
  type Tensor,
  tensor,
} from '../../src/engine/index.ts'
import { compareDevices } from './beside.ts'

const floating = ['float32', 'float64', 'bfloat16', 'float16'] as const

const leaf = (shape: number[], dtype: DType = 'float32') =>
  randn(shape, { device: 'cpu' }).to(dtype).detach().requiresGrad_()

const pictures = (shape: number[], dtype: DType = 'float32') =>
  channelsLast(randn(shape, { device: 'cpu' }))
    .to(dtype)
    .detach()
    .requiresGrad_()

const probabilities = (shape: number[], dtype: DType = 'float32') =>
  softmax(randn(shape, { device: 'cpu' }), -1)
    .to(dtype)
    .detach()

const labels = (classes: number, shape: number[]) => randint(0, classes, shape, { device: 'cpu' })

describe.skipIf(addon.deviceCount() === 0)('on a GPU as on the processor', () => {
  beforeEach(() => manualSeed(5))

  it.each(floating)('softmax, %s', (dtype) => {
    // A few lanes, a warp, a block; rows that are packs of 16 bytes and rows that are not.
    for (const shape of [
      [37, 5],
      [9, 32],
      [3, 260],
      [2, 1031],
      [2, 2048],
      [5, 1],
    ]) {
      for (const f of [softmax, logSoftmax]) {
        compareDevices(`${f.name} of ${shape}`, (x) => f(x!, -1), [leaf(shape, dtype)])
      }
    }
    // Across memory, with and without slices.
    for (const shape of [
      [3, 5, 7],
      [2, 70, 3],
    ]) {
      for (const f of [softmax, logSoftmax]) {
        compareDevices(`${f.name} of ${shape}, dim 1`, (x) => f(x!, 1), [leaf(shape, dtype)])
      }
    }
  })

  it('softmax of what is not finite', () => {
    const rows = [
      [-Infinity, 0, 1],
      [NaN, 0, 1],
      [-Infinity, -Infinity, -Infinity],
      [1e30, 0, -1e30],
    ]
    for (const f of [softmax, logSoftmax]) {
      const x = tensor(rows, { device: 'cpu' })
      for (const dim of [0, 1]) compareDevices(`${f.name}, dim ${dim}`, (a) => f(a!, dim), [x])
    }
  })

  it.each(floating)('cross-entropy, %s', (dtype) => {
    for (const [rows, classes] of [
      [37, 10],
      [5, 1000],
      [3, 2056],
      [700, 3],
    ] as const) {
      for (const reduction of ['mean', 'sum', 'none'] as const) {
        const target = labels(classes, [rows])
        compareDevices(
          `crossEntropy of ${rows} by ${classes}, ${reduction}`,
          (x, y) => crossEntropy(x!, y!, { reduction, ignoreIndex: 2 }),
          [leaf([rows, classes], dtype), target],
        )
        compareDevices(
          `smoothed and weighted crossEntropy of ${rows} by ${classes}, ${reduction}`,
          (x, y, weight) => crossEntropy(x!, y!, { reduction, weight, labelSmoothing: 0.1 }),
          [leaf([rows, classes], dtype), target, rand([classes], { device: 'cpu' }).to(dtype)],
        )
      }
    }
  })

  it.each(floating)('cross-entropy with probabilities, %s', (dtype) => {
    for (const [rows, classes] of [
      [37, 10],
      [3, 1032],
    ] as const) {
      for (const reduction of ['mean', 'sum', 'none'] as const) {
        const target = probabilities([rows, classes], dtype).requiresGrad_()
        compareDevices(
          `crossEntropy of ${rows} by ${classes}, ${reduction}`,
          (x, y, weight) => crossEntropy(x!, y!, { reduction, weight, labelSmoothing: 0.05 }),
          [leaf([rows, classes], dtype), target, rand([classes], { device: 'cpu' }).to(dtype)],
        )
        compareDevices(
          `crossEntropy without weights, ${reduction}`,
          (x, y) => crossEntropy(x!, y!, { reduction }),
          [leaf([rows, classes], dtype), probabilities([rows, classes], dtype)],
        )
      }
    }
  })

  it('cross-entropy of pictures, and of nothing', () => {
    compareDevices('crossEntropy of pictures', (x, y) => crossEntropy(x!, y!), [
      pictures([2, 5, 6, 7]),
      labels(5, [2, 6, 7]),
    ])
    for (const reduction of ['mean', 'sum', 'none'] as const) {
      compareDevices(`crossEntropy of no rows, ${reduction}`, (x, y) => crossEntropy(x!, y!, { reduction }), [
        leaf([0, 4]),
        labels(4, [0]),
      ])
    }
    compareDevices(
      'crossEntropy of ignored rows alone',
      (x, y) => crossEntropy(x!, y!, { ignoreIndex: 1, reduction: 'sum' }),
      [leaf([3, 4]), tensor([1, 1, 1], { dtype: 'int64', device: 'cpu' })],
    )
  })

  it('names a label that is no class', async () => {
    const x = randn([2, 3, 2], { device: 'cuda' })
    const y = tensor(
      [
        [0, 2],
        [1, 3],
      ],
      { dtype: 'int64', device: 'cuda' },
    )
    const message = 'label 3 at position [1, 1] is out of range for 3 classes (0 to 2; ignored: -100)'
    await expect(crossEntropy(x, y).data()).rejects.toThrow(`crossEntropy: ${message}`)
    await expect(nllLoss(x, y).data()).rejects.toThrow(`nllLoss: ${message}`)
    expect(crossEntropy(x, y.clamp(0, 2)).item()).toBeGreaterThan(0)
  })

  it.each(floating)('negative log-likelihood, %s', (dtype) => {
    for (const [rows, classes] of [
      [37, 10],
      [600, 8],
    ] as const) {
      for (const reduction of ['mean', 'sum', 'none'] as const) {
        compareDevices(
          `nllLoss of ${rows} by ${classes}, ${reduction}`,
          (x, y, weight) => nllLoss(x!, y!, { reduction, weight, ignoreIndex: 1 }),
          [
            leaf([rows, classes], dtype),
            labels(classes, [rows]),
            rand([classes], { device: 'cpu' }).to(dtype),
          ],
        )
      }
    }
  })

  it.each(floating)('binary cross-entropy, %s', (dtype) => {
    for (const shape of [
      [7, 5],
      [40, 70],
    ]) {
      for (const reduction of ['mean', 'sum', 'none'] as const) {
        const target = rand(shape, { device: 'cpu' }).to(dtype).requiresGrad_()
        const weight = rand(shape, { device: 'cpu' }).to(dtype)
        const positive = rand([shape[1]!], { device: 'cpu' }).to(dtype)
        compareDevices(
          `with logits, ${shape}, ${reduction}`,
          (x, y, w, posWeight) => binaryCrossEntropyWithLogits(x!, y!, { reduction, weight: w, posWeight }),
          [leaf(shape, dtype), target, weight, positive],
        )
        compareDevices(`${shape}, ${reduction}`, (x, y) => binaryCrossEntropy(x!, y!, { reduction }), [
          rand(shape, { device: 'cpu' }).mul(0.9).add(0.05).to(dtype).detach().requiresGrad_(),
          target,
        ])
      }
    }
    compareDevices('at the ends', (x, y) => binaryCrossEntropy(x!, y!, { reduction: 'none' }), [
      tensor([0, 1, 0, 1, 0.5], { dtype, device: 'cpu' }).requiresGrad_(),
      tensor([0, 1, 1, 0, 1], { dtype, device: 'cpu' }),
    ])
  })

  it('names a probability that is none', async () => {
    const x = tensor([0.5, 1.5], { device: 'cuda' })
    await expect(binaryCrossEntropy(x, x.sub(x)).data()).rejects.toThrow(
      'binaryCrossEntropy: probabilities must lie between 0 and 1, element 1 is 1.5',
    )
  })

  it.each(floating)('layer normalisation, %s', (dtype) => {
    for (const [rows, size] of [
      [33, 6],
      [70, 64],
      [3, 1030],
      [300, 40],
    ] as const) {
      const x = leaf([rows, size], dtype)
      compareDevices(`${rows} by ${size}, plain`, (a) => layerNorm(a!, [size]), [x])
      compareDevices(`${rows} by ${size}`, (a, weight, bias) => layerNorm(a!, [size], { weight, bias }), [
        x,
        leaf([size], dtype),
        leaf([size], dtype),
      ])
    }
  })

  it.each(floating)('group normalisation, %s', (dtype) => {
    for (const [shape, groups] of [
      [[3, 12], 3],
      [[2, 8, 5, 3], 4],
      [[2, 40, 9, 8], 40],
      [[2, 5, 20, 30], 1],
    ] as const) {
      compareDevices(`${shape} in ${groups}`, (a, weight, bias) => groupNorm(a!, groups, { weight, bias }), [
        shape.length === 4 ? pictures([...shape], dtype) : leaf([...shape], dtype),
        leaf([shape[1]], dtype),
        leaf([shape[1]], dtype),
      ])
    }
    compareDevices('three dimensions, plain', (a) => groupNorm(a!, 2), [leaf([2, 4, 9], dtype)])
  })

  it('group normalisation far from zero', () => {
    const x = channelsLast(randn([2, 4, 40, 30], { device: 'cpu' }).mul(0.1).add(1000)).detach()
    const wide = x.to('float64')
    const exact = groupNorm(wide, 2).to('float32')
    const there = groupNorm(x.to('cuda'), 2).to('cpu')
    expect(there.sub(exact).abs().max().item()).toBeLessThan(2e-3) // the input itself is off by 6e-4 deviations
  })

  it.each(floating)('pooling, %s', (dtype) => {
    for (const channels of [3, 8]) {
      const x = () => pictures([2, channels, 9, 11], dtype)
      const compare = (what: string, f: (input: Tensor) => Tensor) =>
        compareDevices(`${what}, ${channels} channels`, (input) => f(input!), [x()])
      for (const pool of [maxPool2d, avgPool2d]) {
        compare(`${pool.name} 2`, (a) => pool(a, 2))
        compare(`${pool.name} 3, 2, 1`, (a) => pool(a, 3, { stride: 2, padding: 1 }))
        compare(`${pool.name} 5 by 4`, (a) => pool(a, [5, 4], { stride: [1, 3], padding: [2, 1] }))
        compare(`${pool.name}, ceilMode`, (a) => pool(a, 3, { stride: 2, padding: 1, ceilMode: true }))
      }
      compare('dilated', (a) => maxPool2d(a, 3, { stride: 1, dilation: [2, 3], padding: 1 }))
      compare('without padding', (a) => avgPool2d(a, 3, { padding: 1, countIncludePad: false }))
      compare('divisor', (a) => avgPool2d(a, 2, { divisorOverride: 3 }))
      for (const size of [1, [2, 3], [4, 11], [9, 16]] as (number | [number, number])[]) {
        compare(`adaptiveAvgPool2d ${size}`, (a) => adaptiveAvgPool2d(a, size))
        compare(`adaptiveMaxPool2d ${size}`, (a) => adaptiveMaxPool2d(a, size))
      }
    }
  })

  it('pooling with more taps than a byte counts, and of NaN', () => {
    compareDevices('maxPool2d 17', (x) => maxPool2d(x!, 17, { stride: 2 }), [pictures([1, 4, 19, 20])])
    const x = channelsLast(randn([1, 4, 4, 4], { device: 'cpu' }))
    x.index(0, 1, 2, 2).copy_(tensor(NaN, { device: 'cpu' }))
    compareDevices('maxPool2d of NaN', (a) => maxPool2d(a!, 2), [x])
  })

  it.each(floating)('interpolation, %s', (dtype) => {
    for (const channels of [3, 8]) {
      for (const size of [
        [10, 14],
        [3, 4],
        [5, 7],
        [1, 1],
        [7, 40],
      ] as [number, number][]) {
        const x = () => pictures([2, channels, 5, 7], dtype)
        compareDevices(`nearest to ${size}`, (a) => interpolate(a!, { size, mode: 'nearest' }), [x()])
        for (const alignCorners of [false, true]) {
          compareDevices(
            `bilinear to ${size}, ${alignCorners}`,
            (a) => interpolate(a!, { size, mode: 'bilinear', alignCorners }),
            [x()],
          )
        }
      }
      const one = pictures([2, channels, 1, 1], dtype)
      compareDevices('one pixel', (a) => interpolate(a!, { size: [9, 8], mode: 'bilinear' }), [one])
      for (const mode of ['nearest', 'bilinear'] as const) {
        compareDevices(`by a scale, ${mode}`, (a) => interpolate(a!, { scaleFactor: [1.7, 0.6], mode }), [
          pictures([2, channels, 5, 7], dtype),
        ])
      }
    }
  })

  it('pixel shuffle, of any dtype', () => {
    for (const dtype of ['float32', 'float64', 'bfloat16', 'uint8', 'int32'] as const) {
      for (const [channels, factor] of [
        [8, 2],
        [12, 2],
        [18, 3],
      ] as const) {
        const deep = channelsLast(randn([2, channels, 3, 5], { device: 'cpu' }).mul(50).abs()).to(dtype)
        compareDevices(`pixelShuffle ${factor}, ${dtype}`, (x) => pixelShuffle(x!, factor), [deep])
        const wide = pixelShuffle(deep, factor)
        compareDevices(`pixelUnshuffle ${factor}, ${dtype}`, (x) => pixelUnshuffle(x!, factor), [wide])
      }
    }
    compareDevices('gradients', (x) => pixelShuffle(x!, 2), [pictures([2, 8, 3, 5])])
  })

  it.each(['float32', 'float64', 'bfloat16'] as const)('grid samples, %s', (dtype) => {
    for (const channels of [3, 20, 40]) {
      for (const paddingMode of ['zeros', 'border', 'reflection'] as const) {
        for (const [mode, alignCorners] of [
          ['bilinear', false],
          ['bilinear', true],
          ['nearest', false],
        ] as const) {
          const grid = randn([2, 4, 3, 2], { device: 'cpu' }).mul(0.8).to(dtype).detach()
          if (mode === 'bilinear') grid.requiresGrad_()
          compareDevices(
            `${mode}, ${paddingMode}, ${alignCorners}, ${channels} channels`,
            (x, positions) => gridSample(x!, positions!, { mode, paddingMode, alignCorners }),
            [pictures([2, channels, 5, 6], dtype), grid],
          )
        }
      }
    }
  })

  it('grid samples of what is not finite, and of an empty grid', () => {
    const grid = tensor(
      [
        [
          [
            [NaN, 0],
            [Infinity, 0.5],
            [1e30, -1e30],
          ],
        ],
      ],
      { device: 'cpu' },
    )
    for (const paddingMode of ['zeros', 'border', 'reflection'] as const) {
      compareDevices(paddingMode, (x, positions) => gridSample(x!, positions!, { paddingMode }), [
        pictures([1, 4, 5, 6]),
        grid,
      ])
    }
    const theta = tensor(
      [
        [
          [1, 0, 0],
          [0, 1, 0],
        ],
      ],
      { device: 'cpu' },
    )
    compareDevices('identity', (x, t) => gridSample(x!, affineGrid(t!, [1, 4, 5, 6])), [
      pictures([1, 4, 5, 6]),
      theta,
    ])
    compareDevices('empty', (x, positions) => gridSample(x!, positions!), [
      pictures([1, 4, 5, 6]),
      randn([1, 0, 3, 2], { device: 'cpu' }),
    ])
  })
})
