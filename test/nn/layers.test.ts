import { describe, expect, it } from 'vitest'
import { ConfigError, ShapeError } from '../../src/engine/errors.ts'
import {
  arange,
  grad,
  manualSeed,
  noGrad,
  ones,
  randn,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'
import { FusedSequential } from '../../src/vision/models/normActivation.ts'

const values = (tensor: Tensor) => Array.from(tensor.contiguous().dataSync() as ArrayLike<number>)

function expectClose(actual: Tensor, expected: Tensor, tolerance = 1e-5): void {
  expect(actual.shape).toEqual(expected.shape)
  const wanted = values(expected)
  values(actual).forEach((value, i) => {
    expect(Math.abs(value - wanted[i]!)).toBeLessThanOrEqual(tolerance)
  })
}

describe('containers', () => {
  it('read like arrays', () => {
    const layers = [new nn.Linear(2, 3), new nn.ReLU(), new nn.Linear(3, 1)]
    const model = new nn.Sequential(...layers)
    expect(model.length).toBe(3)
    expect(model[0]).toBe(layers[0])
    expect(model.at(-1)).toBe(layers[2])
    expect([...model]).toEqual(layers)
    expect([...model.slice(1)]).toEqual(layers.slice(1))
    expect([...model.slice(0, -1)]).toEqual(layers.slice(0, 2))
    expect(model.append(new nn.Sigmoid()).length).toBe(4)
    expect(model.forward(ones([5, 2])).shape).toEqual([5, 1])
    const list = new nn.ModuleList(layers)
    expect(list[2]).toBe(layers[2])
    expect(list.slice(1).length).toBe(2)
    expect(() => list.forward()).toThrow(/ModuleList has no forward/)
  })

  it('keep more than ten modules in order', () => {
    const model = new nn.Sequential(...Array.from({ length: 12 }, (_, i) => new nn.Linear(i + 1, i + 2)))
    expect(model.children().map((child) => (child as nn.Linear).inFeatures)).toEqual(
      Array.from({ length: 12 }, (_, i) => i + 1),
    )
    expect(model.namedChildren().at(-1)![0]).toBe('11')
  })

  it('take names, and refuse what is no module or hides a method', () => {
    const model = new nn.Sequential({ body: new nn.Linear(2, 2), head: new nn.Linear(2, 1) })
    expect(model.namedChildren().map(([name]) => name)).toEqual(['body', 'head'])
    expect(model.forward(ones([1, 2])).shape).toEqual([1, 1])
    expect(() => new nn.Sequential(new nn.ReLU(), F.relu as never)).toThrow(/entry 1 is no Module/)
    expect(() => new nn.Sequential({ forward: new nn.ReLU() })).toThrow(/'forward' is taken/)
  })

  it('append after named modules, as PyTorch', () => {
    const [a, b, c] = [new nn.Linear(1, 2), new nn.Linear(2, 3), new nn.Linear(3, 1)]
    const model = new nn.Sequential({ a, b }).append(c)
    expect(model.namedChildren().map(([name]) => name)).toEqual(['a', 'b', '2'])
    expect([...model]).toEqual([a, b, c])
    expect(model.at(-1)).toBe(c)
    expect(model.forward(ones([4, 1])).shape).toEqual([4, 1])
    expect(model.parameters()[0]).toBe(a.weight)
    expect(Object.keys(model.stateDict())).toEqual(
      ['a', 'b', '2'].flatMap((i) => [`${i}.weight`, `${i}.bias`]),
    )
    expect(String(model)).toMatch(/\(a\)[\s\S]*\(b\)[\s\S]*\(2\)/)
    expect(model.append(b).children()).toEqual([a, b, c])
    expect(model.namedChildren({ repeated: true }).at(-1)).toEqual(['3', b])
    class Named extends nn.ModuleList {
      first = a
    }
    expect([...new Named().append(b, c)]).toEqual([a, b, c])
  })

  it('stay in order when modules are replaced, taken out or assigned', () => {
    const relu = () => new nn.ReLU()
    const model = new nn.Sequential({ a: relu(), b: relu() }).append(relu())
    const names = () => model.namedChildren().map(([name]) => name)
    const fields = model as unknown as Record<string, nn.Module>
    for (const name of ['2', 'a']) {
      fields[name] = new nn.Tanh()
      expect(names()).toEqual(['a', 'b', '2'])
      expect(model.at(name === 'a' ? 0 : -1)).toBe(fields[name])
    }
    fields[7] = relu()
    expect(names()).toEqual(['a', 'b', '2', '7'])
    delete fields.b
    model.append(relu())
    expect(names()).toEqual(['a', '2', '7', '3'])
  })

  it('refuse names that JavaScript has put into another order', () => {
    const [body, head] = [new nn.Linear(2, 2), new nn.Linear(2, 1)]
    expect(() => new nn.Sequential({ body, '0': head })).toThrow(ConfigError)
    expect(new nn.Sequential({ '0': body, '1': head }).length).toBe(2)
    expect(new nn.Sequential({ '00': body, '4294967295': head, a: body }).children()).toEqual([body, head])
  })
})

describe('layers', () => {
  it('Linear and Identity', () => {
    const layer = new nn.Linear(2, 1)
    noGrad(() => {
      layer.weight.copy_(tensor([[2, -1]]))
      layer.bias!.fill_(0.5)
    })
    expect(layer.forward(tensor([[3, 4]])).toArray()).toEqual([[2.5]])
    expect(new nn.Linear(2, 1, { bias: false }).bias).toBeNull()
    const x = ones([2])
    expect(new nn.Identity().forward(x)).toBe(x)
  })

  it('Conv2d in both ways of calling', () => {
    manualSeed(0)
    const positional = new nn.Conv2d(3, 6, 5, { stride: 2, padding: [2, 1] })
    manualSeed(0)
    const named = new nn.Conv2d(3, 6, { kernelSize: 5, stride: 2, padding: [2, 1] })
    const x = randn([1, 3, 8, 8])
    expect(positional.forward(x).toArray()).toEqual(named.forward(x).toArray())
    expect(named.forward(x).shape).toEqual([1, 6, 4, 3])
  })

  it('BatchNorm2d normalises by the batch, keeps running statistics and serves them in evaluation', () => {
    manualSeed(1)
    const norm = new nn.BatchNorm2d(3)
    const x = randn([4, 3, 5, 5]).mul(2).add(1)
    const y = norm.forward(x)
    const mean = x.mean([0, 2, 3])
    const count = 100
    const variance = x
      .sub(mean.view(1, 3, 1, 1))
      .square()
      .mean([0, 2, 3])
    expectClose(y.mean([0, 2, 3]), zeros([3]))
    expectClose(norm.runningMean!, mean.mul(0.1))
    expectClose(norm.runningVar!, variance.mul((0.1 * count) / (count - 1)).add(0.9))
    expect(norm.numBatchesTracked!.item()).toBe(1)
    norm.eval()
    const scale = norm.runningVar!.add(1e-5).sqrt().view(1, 3, 1, 1)
    expectClose(norm.forward(x), x.sub(norm.runningMean!.view(1, 3, 1, 1)).div(scale))
    expect(norm.numBatchesTracked!.item()).toBe(1)
  })

  it('BatchNorm2d fuses residual and activation', () => {
    manualSeed(2)
    const x = randn([2, 4, 3, 3])
    const residual = randn([2, 4, 3, 3])
    const [plain, fused] = [new nn.BatchNorm2d(4), new nn.BatchNorm2d(4)]
    expectClose(fused.forward(x, { residual, activation: 'relu' }), F.relu(plain.forward(x).add(residual)))
    expectClose(fused.runningMean!, plain.runningMean!)
  })

  it('BatchNorm averages over all batches with momentum null, and needs no statistics', () => {
    const norm = new nn.BatchNorm1d(1, { momentum: null })
    for (const value of [1, 2, 6]) norm.forward(tensor([[value - 1], [value + 1]]))
    expect(norm.runningMean!.item()).toBeCloseTo(3, 5)
    const free = new nn.BatchNorm1d(2, { trackRunningStats: false, affine: false }).eval()
    expect(free.stateDict()).toEqual({})
    expectClose(
      free.forward(
        tensor([
          [1, 0],
          [3, 0],
        ]),
      ),
      tensor([
        [-1, 0],
        [1, 0],
      ]),
      1e-4,
    )
    expect(new nn.BatchNorm1d(2).forward(randn([3, 2, 5])).shape).toEqual([3, 2, 5])
    expect(() => new nn.BatchNorm1d(2).forward(randn([3, 2, 5, 5]))).toThrow(ShapeError)
    expect(() => new nn.BatchNorm2d(2).forward(randn([3, 2]))).toThrow(/4 dimensions/)
  })

  it('LayerNorm and GroupNorm normalise each sample by itself', () => {
    manualSeed(5)
    const x = randn([3, 4, 5]).mul(3).add(2)
    const layer = new nn.LayerNorm([4, 5])
    expect(layer.weight!.shape).toEqual([4, 5])
    const centred = x.sub(x.mean([1, 2], { keepdim: true }))
    const variance = centred.square().mean([1, 2], { keepdim: true })
    const normalised = centred.div(variance.add(1e-5).sqrt())
    expectClose(layer.forward(x), normalised)
    expectClose(new nn.GroupNorm(1, 4, { affine: false }).forward(x), normalised)
    const groups = new nn.GroupNorm(2, 4).forward(x)
    expectClose(groups.reshape([3, 2, 10]).mean(2), zeros([3, 2]))
    expect(Object.keys(new nn.GroupNorm(2, 4).stateDict())).toEqual(['weight', 'bias'])
    // As PyTorch prints them.
    expect(String(new nn.LayerNorm(8))).toBe('LayerNorm((8,), eps=1e-05, elementwise_affine=True)')
    expect(String(new nn.GroupNorm(2, 4, { eps: 0.01 }))).toBe('GroupNorm(2, 4, eps=0.01, affine=True)')
    expect(() => new nn.GroupNorm(3, 4)).toThrow(ConfigError)
  })

  it('Dropout scales what it keeps, and drops whole channels in two dimensions', () => {
    manualSeed(3)
    const x = ones([200, 50])
    const dropped = values(new nn.Dropout(0.25).forward(x))
    expect(new Set(dropped.map((value) => value.toFixed(4)))).toEqual(new Set(['0.0000', '1.3333']))
    const share = dropped.filter((value) => value === 0).length / dropped.length
    expect(share).toBeGreaterThan(0.23)
    expect(share).toBeLessThan(0.27)
    expect(values(new nn.Dropout(0.25).eval().forward(x)).every((value) => value === 1)).toBe(true)
    const channels = new nn.Dropout2d(0.5).forward(ones([8, 16, 3, 3])).sum([2, 3])
    expect(new Set(values(channels))).toEqual(new Set([0, 18]))
    expect(() => new nn.Dropout(1.5)).toThrow(ConfigError)
  })

  it('pools', () => {
    const x = arange(16).view(1, 1, 4, 4).to('float32')
    expect(new nn.MaxPool2d(2).forward(x).toArray()).toEqual([
      [
        [
          [5, 7],
          [13, 15],
        ],
      ],
    ])
    expect(new nn.MaxPool2d(3, { stride: 2, padding: 1 }).forward(x).toArray()).toEqual([
      [
        [
          [5, 7],
          [13, 15],
        ],
      ],
    ])
    expect(new nn.AvgPool2d({ kernelSize: 2 }).forward(x).toArray()).toEqual([
      [
        [
          [2.5, 4.5],
          [10.5, 12.5],
        ],
      ],
    ])
    expect(new nn.AdaptiveAvgPool2d(1).forward(x).toArray()).toEqual([[[[7.5]]]])
    expect(new nn.AdaptiveMaxPool2d([1, 2]).forward(x).toArray()).toEqual([[[[13, 15]]]])
    expect(new nn.AdaptiveConcatPool2d().forward(x).toArray()).toEqual([[[[15]], [[7.5]]]])
  })

  it('activations', () => {
    const x = tensor([-2, 0, 3])
    const gelu = (v: number) => v * { '-2': 0.02275013, '0': 0.5, '3': 0.9986501 }[String(v)]!
    const cases: [nn.Module, (v: number) => number][] = [
      [new nn.ReLU(), (v) => Math.max(v, 0)],
      [new nn.LeakyReLU(0.1), (v) => (v > 0 ? v : 0.1 * v)],
      [new nn.Sigmoid(), (v) => 1 / (1 + Math.exp(-v))],
      [new nn.Tanh(), Math.tanh],
      [new nn.SiLU(), (v) => v / (1 + Math.exp(-v))],
      [new nn.GELU(), gelu],
    ]
    for (const [layer, expected] of cases) {
      values(layer.forward(x)).forEach((value, i) => {
        expect(value).toBeCloseTo(expected([-2, 0, 3][i]!), 5)
      })
    }
    const total = Math.exp(-2) + 1 + Math.exp(3)
    expectClose(new nn.Softmax(0).forward(x), tensor([Math.exp(-2) / total, 1 / total, Math.exp(3) / total]))
    expectClose(new nn.LogSoftmax(-1).forward(x), x.sub(Math.log(total)))
  })

  it('ReLU6 is flat at 0 and at 6, by itself and behind a batch norm', () => {
    const values = [-1, 0, 3, 6, 7, NaN, Infinity, -Infinity]
    const x = tensor(values, { requiresGrad: true })
    const y = new nn.ReLU6().forward(x)
    expect(y.toArray()).toEqual([0, 0, 3, 6, 6, NaN, 6, 0])
    const g = ones([8], { requiresGrad: true })
    const [slope] = grad(y, x, { gradOutputs: [g], createGraph: true }) as [Tensor]
    // PyTorch's
    expect(slope.toArray()).toEqual([0, 0, 1, 0, 0, 1, 0, 0])
    const [toGradient, toInput] = grad(slope, [g, x], {
      gradOutputs: [zeros([8]).add(3)],
      allowUnused: true,
    }) as (Tensor | null)[]
    expect(toGradient?.toArray()).toEqual([0, 0, 3, 0, 0, 3, 0, 0])
    expect(toInput?.toArray() ?? Array(8).fill(0)).toEqual(Array(8).fill(0))

    const layers = new FusedSequential(new nn.BatchNorm2d(1, { eps: 0 }), new nn.ReLU6()).eval()
    const pixels = tensor([-1, 0, 3, 6, 7], { shape: [1, 1, 1, 5], requiresGrad: true })
    layers.forward(pixels).sum().backward()
    expect(pixels.grad?.reshape([5]).toArray()).toEqual([0, 0, 1, 0, 0])
  })

  it('Flatten keeps the batch', () => {
    expect(new nn.Flatten().forward(zeros([2, 3, 4, 5])).shape).toEqual([2, 60])
    expect(new nn.Flatten(0, 1).forward(zeros([2, 3, 4])).shape).toEqual([6, 4])
  })

  it.each<[string, () => unknown, RegExp]>([
    ['a misspelt option', () => new nn.Conv2d(1, 1, 3, { pading: 1 } as never), /pading.*stride, padding/],
    ['no kernel size', () => new nn.Conv2d(1, 1, {} as never), /kernel size/],
    ['a negative padding', () => new nn.Conv2d(1, 1, 3, { padding: -1 }), /padding.*-1/],
    ['groups that do not divide', () => new nn.Conv2d(3, 4, 3, { groups: 2 }), /multiples of groups/],
    ['features of zero', () => new nn.Linear(0, 3), /inFeatures/],
    ['a fraction of channels', () => new nn.BatchNorm2d(1.5), /numFeatures/],
    ['a pool of nothing', () => new nn.MaxPool2d(0), /kernelSize/],
    ['an output of nothing', () => new nn.AdaptiveAvgPool2d(0), /outputSize/],
  ])('refuse %s', (_name, build, message) => {
    expect(build).toThrow(ConfigError)
    expect(build).toThrow(message)
  })
})

describe('nn.init', () => {
  it('computes gains and fans', () => {
    const { calculateGain, calculateFanInAndFanOut } = nn.init
    expect(calculateGain('relu')).toBeCloseTo(Math.SQRT2, 12)
    expect(calculateGain('leakyRelu', Math.sqrt(5))).toBeCloseTo(Math.sqrt(1 / 3), 12)
    expect(calculateGain('tanh')).toBeCloseTo(5 / 3, 12)
    expect(calculateFanInAndFanOut(zeros([6, 4, 3, 5]))).toEqual({ fanIn: 60, fanOut: 90 })
    expect(() => calculateFanInAndFanOut(zeros([6]))).toThrow(ShapeError)
    expect(() => calculateGain('swish' as never)).toThrow(/swish/)
  })

  it('fills in place without leaving a trace for gradients', () => {
    const weight = new nn.Parameter(zeros([4, 4]))
    expect(nn.init.ones_(weight)).toBe(weight)
    nn.init.kaimingNormal_(weight, { mode: 'fanOut', nonlinearity: 'relu' })
    expect(weight.isLeaf && weight.requiresGrad).toBe(true)
  })

  it('truncates', () => {
    manualSeed(0)
    const drawn = values(nn.init.truncNormal_(zeros([2000]), { std: 0.5, a: -0.5, b: 1 }))
    expect(Math.min(...drawn)).toBeGreaterThanOrEqual(-0.5)
    expect(Math.max(...drawn)).toBeLessThanOrEqual(1)
    // Mean of N(0, 0.5) cut to [-1, 2] deviations: 0.5 · (φ(1) - φ(2)) / (Φ(2) - Φ(-1)).
    expect(drawn.reduce((sum, value) => sum + value, 0) / 2000).toBeCloseTo(0.1149, 1)
  })
})
