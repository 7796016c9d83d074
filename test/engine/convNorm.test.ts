import { describe, expect, it } from 'vitest'
import {
  autocast,
  batchNorm,
  type ConvOptions,
  conv2d,
  crossEntropy,
  type DType,
  enableGrad,
  manualSeed,
  noGrad,
  rand,
  randn,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'
import { listenToOps } from '../../src/engine/native.ts'
import { convNorm } from '../../src/engine/ops/convNorm.ts'
import { Recording } from '../../src/engine/recording.ts'
import { SGD } from '../../src/optim/index.ts'
import { models } from '../../src/vision/index.ts'

/** Relative to the largest value: rounding of a sum of some hundred products, or of the stored numbers. */
const tolerance: Partial<Record<DType, number>> = {
  float64: 1e-12,
  float32: 3e-6,
  bfloat16: 1.2e-2,
  float16: 2e-3,
}

interface Case extends ConvOptions {
  channels?: [number, number]
  kernel?: number
  size?: number
  batch?: number
}

function setUp({ channels = [32, 48], kernel = 3, size = 14, batch = 2, ...options }: Case, dtype: DType) {
  manualSeed(4)
  const [from, to] = channels
  const float = dtype === 'float64' ? 'float64' : 'float32'
  const weight = randn([to, from / (options.groups ?? 1), kernel, kernel]).to(float)
  const conv = {
    padding: 1,
    ...options,
    weight: weight.div(kernel * Math.sqrt(from)),
    bias: randn([to]).to(float),
  }
  const norm = {
    weight: randn([to]).to(float),
    bias: randn([to]).to(float),
    runningMean: randn([to]).to(float),
    runningVar: rand([to]).add(0.2).to(float),
    eps: 1e-3,
  }
  return { x: randn([batch, from, size, size]).to(dtype), conv, norm }
}

/** The same in float64, from the numbers as they are stored. */
function exact({ x, conv, norm }: ReturnType<typeof setUp>, relu: boolean, residual: Tensor | null): Tensor {
  const double = <T extends Tensor | null>(tensor: T) => (tensor === null ? null : tensor.double()) as T
  const { weight, bias, ...options } = conv
  return batchNorm(conv2d(x.double(), weight.double(), double(bias), options), {
    weight: norm.weight.double(),
    bias: norm.bias.double(),
    runningMean: norm.runningMean.double(),
    runningVar: norm.runningVar.double(),
    eps: norm.eps,
    residual: double(residual),
    activation: relu ? 'relu' : undefined,
  })
}

const cases: [string, Case][] = [
  ['3 x 3 with few filters', { channels: [32, 32], size: 30 }],
  ['3 x 3 with many filters', { channels: [192, 208], size: 8 }],
  ['3 x 3 with stride 2', { stride: 2 }],
  ['1 x 1', { kernel: 1, padding: 0 }],
  ['1 x 1 with stride 2', { kernel: 1, padding: 0, stride: 2 }],
  ['7 x 7 on three channels', { channels: [3, 64], kernel: 7, padding: 3, stride: 2, size: 32 }],
  ['odd numbers of channels', { channels: [5, 7], size: 9 }],
  ['groups', { groups: 2 }],
  ['each channel by itself', { channels: [32, 32], groups: 32 }],
  ["padding 'same' and dilation", { padding: 'same', dilation: 2 }],
  ['an empty batch', { batch: 0 }],
]

describe('convNorm is the convolution, batch norm, residual sum and ReLU in one', () => {
  it.each(cases)('%s', (_, options) => {
    for (const dtype of ['float32', 'bfloat16', 'float16', 'float64'] as const) {
      const parts = setUp(options, dtype)
      for (const withResidual of [false, true]) {
        for (const relu of [false, true]) {
          const shape = exact(parts, relu, null).shape
          const residual = withResidual ? randn(shape).to(dtype) : null
          const before = residual?.clone()
          const found = convNorm(parts.x, parts.conv, parts.norm, { relu, residual })!
          expect([found.dtype, found.shape]).toEqual([dtype, shape])
          if (found.numel === 0) continue
          const expected = exact(parts, relu, residual)
          const error = found.double().sub(expected).abs().max().item() / expected.abs().max().item()
          expect(error, `${dtype}, residual ${withResidual}, relu ${relu}`).toBeLessThan(tolerance[dtype]!)
          if (residual) expect(residual.sub(before!).abs().max().item()).toBe(0)
        }
      }
    }
  })

  it('takes a convolution without bias, and a norm without scale and shift', () => {
    const { x, conv, norm } = setUp({}, 'float32')
    const found = convNorm(x, { ...conv, bias: null }, { ...norm, weight: null, bias: null })!
    const { weight, bias: _, ...options } = conv
    const expected = batchNorm(conv2d(x, weight, null, options), { ...norm, weight: null, bias: null })
    expect(found.sub(expected).abs().max().item()).toBeLessThan(1e-5)
  })

  it('gives the shift where the scale is zero', () => {
    const { x, conv, norm } = setUp({}, 'float32')
    const found = convNorm(x, conv, { ...norm, weight: zeros([48]) })!
    expect(
      found
        .sub(norm.bias.reshape([48, 1, 1]))
        .abs()
        .max()
        .item(),
    ).toBe(0)
  })

  it('reads the statistics when its turn comes', () => {
    const { x, conv, norm } = setUp({}, 'float32')
    norm.runningMean.add_(
      randn([512, 512])
        .matmul(randn([512, 512]))
        .mean(),
    )
    const found = convNorm(x, conv, norm)!
    expect(
      found
        .sub(exact({ x, conv, norm }, false, null))
        .abs()
        .max()
        .item(),
    ).toBeLessThan(1e-4)
  })

  it('computes in bfloat16 under autocast', () => {
    const { x, conv, norm } = setUp({}, 'float32')
    expect(autocast('bfloat16', () => convNorm(x, conv, norm))!.dtype).toBe('bfloat16')
  })

  it('leaves it to the parts where gradients or single ops are asked for', () => {
    const { x, conv, norm } = setUp({}, 'float32')
    conv.weight.requiresGrad = true
    expect(enableGrad(() => convNorm(x, conv, norm))).toBeNull()
    expect(noGrad(() => convNorm(x, conv, norm))).not.toBeNull()
    expect(noGrad(() => listenToOps(() => {}, () => convNorm(x, conv, norm)))).toBeNull() // biome-ignore format: one thought
  })

  it.each([
    [
      'a residual of another shape',
      { residual: zeros([2, 48, 14, 13]) },
      /residual has shape \[2, 48, 14, 13\]/,
    ],
    [
      'a residual of another dtype',
      { residual: zeros([2, 48, 14, 14], { dtype: 'float64' }) },
      /residual is float64/,
    ],
  ])('refuses %s', (_, options, message) => {
    const { x, conv, norm } = setUp({}, 'float32')
    expect(() => convNorm(x, conv, norm, options)).toThrow(message)
  })

  it('refuses statistics of another number of channels', () => {
    const { x, conv, norm } = setUp({}, 'float32')
    expect(() => convNorm(x, conv, { ...norm, runningMean: zeros([47]) })).toThrow(
      /runningMean must have shape/,
    )
  })
})

describe('weights that convNorm keeps in an order of its own', () => {
  // Stride 2: no Winograd, whose filters are not kept.
  const strided = (dtype: DType = 'float32') => setUp({ channels: [32, 64], stride: 2 }, dtype)
  const bitsOf = (parts: ReturnType<typeof strided>) => {
    const { x, conv, norm } = parts
    return [...convNorm(x, conv, norm)!.float().dataSync()]
  }
  /** As if nothing had been kept. */
  const fresh = (parts: ReturnType<typeof strided>) =>
    bitsOf({ ...parts, conv: { ...parts.conv, weight: parts.conv.weight.clone() } })

  it.each(['float32', 'bfloat16'] as const)('give the same bits each time: %s', (dtype) => {
    const parts = strided(dtype)
    const first = bitsOf(parts)
    for (let i = 0; i < 3; i++) expect(bitsOf(parts)).toEqual(first)
    const half = { ...parts, x: parts.x.slice(0, 0, 1) }
    expect(bitsOf(half), 'a smaller batch').toEqual(first.slice(0, first.length / 2))
  })

  it.each<[string, (parts: ReturnType<typeof strided>) => void]>([
    ['the weights, in place', ({ conv }) => conv.weight.mul_(-1)],
    ['the weights, copied', ({ conv }) => conv.weight.copy_(randn(conv.weight.shape))],
    ['a view of the weights', ({ conv }) => conv.weight.select(0, 3).fill_(1)],
    ['what the weights are a view of', ({ conv }) => conv.weight.view([-1]).add_(1)],
    ['the scale of the norm', ({ norm }) => norm.weight.mul_(2)],
    ['the statistics', ({ norm }) => norm.runningVar.add_(1)],
    ['the bias', ({ conv }) => conv.bias.add_(1)],
  ])('follow a change of %s', (_, change) => {
    const parts = strided()
    const before = bitsOf(parts)
    for (let i = 0; i < 2; i++) expect(bitsOf(parts)).toEqual(before)
    change(parts)
    for (let i = 0; i < 3; i++) expect(bitsOf(parts)).toEqual(fresh(parts))
    expect(bitsOf(parts)).not.toEqual(before)
  })

  it('follow what a recording writes, and are none of what it reads', () => {
    const parts = strided()
    const { conv, norm, x } = parts
    const { recording: change } = Recording.of(() => {
      conv.weight.mul_(-2)
    })
    const { recording, result } = Recording.of(() => convNorm(x, conv, norm)!)
    for (let i = 0; i < 3; i++) {
      for (let j = 0; j < 3; j++) expect(bitsOf(parts)).toEqual(fresh(parts))
      change.replay()
      expect(bitsOf(parts)).toEqual(fresh(parts))
      recording.replay()
      expect([...result.dataSync()]).toEqual(fresh(parts))
    }
  })

  it('are not mixed up where two convolutions look at one memory', () => {
    const parts = strided()
    const both = randn([64, 64, 3, 3])
    const halves = [0, 1].map((i) => ({ ...parts, conv: { ...parts.conv, weight: both.view([2, 64, 32, 3, 3]).select(0, i) } })) // biome-ignore format: one thought
    const expected = halves.map(fresh)
    for (let i = 0; i < 3; i++) expect(halves.map(bitsOf)).toEqual(expected)
  })

  it('of a model follow its training', () => {
    manualSeed(3)
    const model = models.resnet18({ numClasses: 3 })
    const x = randn([4, 3, 64, 64])
    const optimizer = new SGD(model.parameters(), { lr: 0.01 })
    for (let i = 0; i < 2; i++) {
      model.train()
      crossEntropy(model.forward(x), tensor([0, 2, 1, 1], { dtype: 'int64' })).backward()
      optimizer.step()
      model.eval()
      const apart = enableGrad(() => model.forward(x))
      for (let j = 0; j < 3; j++) {
        const together = noGrad(() => model.forward(x))
        expect(together.sub(apart).abs().max().item()).toBeLessThan(1e-4 * apart.abs().max().item())
      }
    }
  })
})

describe('models in inference', () => {
  it.each([
    ['resnet18', () => models.resnet18({ numClasses: 5 })],
    ['mobilenetV2', () => models.mobilenetV2({ numClasses: 5 })],
    ['vgg11Bn', () => models.vgg11Bn({ numClasses: 5 })],
  ])('%s runs its batch norms with the convolutions, to the same outputs', (_, make) => {
    manualSeed(6)
    const model = make()
    const x = randn([2, 3, 64, 64])
    model.train()
    noGrad(() => model.forward(x)) // statistics other than 0 and 1
    model.eval()
    const ops = (run: () => Tensor) => {
      const heard = new Map<string, number>()
      const output = listenToOps((op) => heard.set(op, (heard.get(op) ?? 0) + 1), run)
      return { heard, output }
    }
    const apart = enableGrad(() => model.forward(x))
    const together = noGrad(() => model.forward(x))
    expect(together.sub(apart).abs().max().item()).toBeLessThan(1e-4 * apart.abs().max().item())
    // Who listens hears of each op by itself.
    expect(noGrad(() => ops(() => model.forward(x)).heard.has('conv2d_norm'))).toBe(false)
  })
})
