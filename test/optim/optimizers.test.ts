import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { CheckpointError, ConfigError } from '../../src/engine/errors.ts'
import {
  manualSeed,
  memoryStats,
  noGrad,
  randint,
  randn,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'
import { Parameter } from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'

const lamb: {
  weight: number[][]
  bias: number[]
  inputs: number[][]
  targets: number[][]
  runs: { options: optim.LAMBOptions; losses: number[]; weight: number[][]; bias: number[] }[]
} = JSON.parse(readFileSync(new URL('fixtures/lamb.json', import.meta.url), 'utf8'))

function ones(shape: number[] = [1]): Parameter {
  return new Parameter(zeros(shape).add(1))
}

const values = (tensor: Tensor) => Array.from(tensor.contiguous().dataSync() as ArrayLike<number>)

function setGrad(param: Tensor, value: number): void {
  param.grad = zeros([...param.shape], { dtype: param.dtype }).fill_(value)
}

describe('weight decay, fastai’s table', () => {
  // Three steps from 1 with gradients 0.1, -0.2, 0.3, lr 0.1, wd 0.1; measured with fastai v1.
  const adam = (params: Tensor[], options: object) =>
    new optim.Adam(params, { lr: 0.1, betas: [0.9, 0.99], ...options })
  const sgd = (params: Tensor[], options: object) => new optim.SGD(params, { lr: 0.1, ...options })
  const heavy = (params: Tensor[], options: object) =>
    new optim.SGD(params, { lr: 0.1, momentum: 0.9, ...options })
  const rmsprop = (params: Tensor[], options: object) =>
    new optim.RMSprop(params, { lr: 0.1, alpha: 0.99, ...options })
  const decoupled = { weightDecay: 0.1, decoupledWeightDecay: true }
  const l2 = { weightDecay: 0.1 }
  it.each<[string, (params: Tensor[], options: object) => { step(): void }, object, number[]]>([
    ['Adam, decoupled', adam, decoupled, [0.89, 0.9176608, 0.8742484]],
    ['Adam, L2', adam, l2, [0.9, 0.8771426, 0.8132907]],
    ['Adam, none', adam, {}, [0.9, 0.9365608, 0.902325]],
    ['SGD, decoupled', sgd, decoupled, [0.98, 0.9902, 0.950298]],
    ['SGD, L2', sgd, l2, [0.98, 0.9902, 0.950298]],
    ['SGD, none', sgd, {}, [0.99, 1.01, 0.98]],
    ['SGD with momentum, decoupled', heavy, decoupled, [0.98, 0.9812, 0.951288]],
    ['SGD with momentum, L2', heavy, l2, [0.98, 0.9722, 0.925458]],
    ['SGD with momentum, none', heavy, {}, [0.99, 1.001, 0.9809]],
    ['RMSprop, decoupled', rmsprop, decoupled, [-0.009999, 0.8854236, 0.0730652]],
    ['RMSprop, L2', rmsprop, l2, [4e-7, 0.7088813, -0.0884749]],
    ['RMSprop, none', rmsprop, {}, [1e-6, 0.8953236, 0.0918193]],
  ])('%s', (_name, make, options, expected) => {
    const param = ones()
    const optimizer = make([param], options)
    const seen = [0.1, -0.2, 0.3].map((gradient) => {
      setGrad(param, gradient)
      optimizer.step()
      return param.item()
    })
    seen.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 6)
    })
  })

  it('decays parameters of zero gradient, and only those that have a gradient', () => {
    const [touched, untouched] = [ones(), ones()]
    const optimizer = new optim.SGD([touched, untouched], {
      lr: 0.1,
      weightDecay: 0.01,
      decoupledWeightDecay: true,
    })
    setGrad(touched, 0)
    optimizer.step()
    expect(touched.item()).toBeCloseTo(0.999, 6)
    expect(untouched.item()).toBe(1)
  })
})

describe('one native step for a group of many shapes and layouts', () => {
  const shapes = [[3], [40_000], [2, 3, 5, 5], [], [0], [7, 11]]

  /** One step of Adam on a single element, in double precision. */
  const reference = (p: number, g: number) => p - (0.01 * g) / (Math.abs(g) + 1e-8)

  it('gives each element what it would get alone', () => {
    manualSeed(3)
    const params = shapes.map((shape) => new Parameter(randn(shape)))
    const grads = shapes.map((shape) => randn(shape))
    const before = params.map(values)
    params.forEach((param, i) => {
      param.grad = grads[i]!
    })
    new optim.Adam(params, { lr: 0.01 }).step()
    params.forEach((param, i) => {
      const gradients = values(grads[i]!)
      values(param).forEach((value, k) => {
        expect(Math.abs(value - reference(before[i]![k]!, gradients[k]!))).toBeLessThan(1e-6)
      })
    })
  })

  it('lets averages that nothing feeds end at zero on a processor, which is slow with what is smaller than 1.2e-38', () => {
    const options = { device: 'cpu' } as const
    const param = new Parameter(zeros([40], options))
    const optimizer = new optim.SGD([param], { lr: 1, momentum: 0.5 })
    const moved = [4, 0, 0].map((gradient) => {
      param.grad = zeros([40], options).fill_(gradient * 1e-38)
      optimizer.step()
      return values(param).map((value) => Math.round(value * 1e38))
    })
    expect(moved).toEqual([-4, -6, -6].map((value) => Array(40).fill(value)))
    // Other arithmetic keeps to the standard.
    expect(tensor([2e-38], options).mul(0.25).item()).toBeCloseTo(5e-39, 44)
  })

  it('takes gradients and parameters that lie in another order', () => {
    manualSeed(4)
    const param = new Parameter(randn([2, 3, 4, 5]))
    const gradient = randn([2, 4, 5, 3]).permute(0, 3, 1, 2)
    const before = values(param)
    param.grad = gradient
    const optimizer = new optim.SGD([param], { lr: 1, momentum: 0.5 })
    optimizer.step()
    optimizer.step()
    const gradients = values(gradient)
    values(param).forEach((value, k) => {
      expect(value).toBeCloseTo(before[k]! - 2.5 * gradients[k]!, 5)
    })
  })

  it('updates a parameter that is a window on other memory, and nothing around it', () => {
    const whole = zeros([4, 6])
    const window = whole.index(':', '1:3').detach().requiresGrad_()
    setGrad(window, 1)
    const optimizer = new optim.SGD([window], { lr: 1, momentum: 0.9 })
    optimizer.step()
    expect(whole.toArray()).toEqual([0, 1, 2, 3].map(() => [0, -1, -1, 0, 0, 0]))
  })

  it('mixes dtypes in a group', () => {
    const params = [ones([2]), new Parameter(tensor([1, 1], { dtype: 'float64' }))]
    for (const param of params) setGrad(param, 0.5)
    new optim.SGD(params, { lr: 0.2 }).step()
    expect(values(params[0]!)[0]).toBeCloseTo(0.9, 6)
    expect(values(params[1]!)[0]).toBeCloseTo(0.9, 12)
  })
})

describe('LAMB', () => {
  it('takes steps as long as lr times the norm of the parameter', () => {
    manualSeed(5)
    const param = new Parameter(randn([50, 700])) // more than one chunk
    const before = values(param)
    param.grad = randn([50, 700])
    const gradients = values(param.grad)
    new optim.LAMB([param], { lr: 0.1, weightDecay: 0.01 }).step()
    const direction = gradients.map((g, i) => g / (Math.abs(g) + 1e-6) + 0.01 * before[i]!)
    const trust = Math.hypot(...before) / Math.hypot(...direction)
    values(param).forEach((value, i) => {
      expect(Math.abs(value - (before[i]! - 0.1 * trust * direction[i]!))).toBeLessThan(1e-5)
    })
  })

  // test/optim/fixtures/make_lamb.py: NumPy, from the paper's algorithm.
  it.each(lamb.runs)('goes the way of the paper over 50 steps: $options', ({ options, losses, ...ends }) => {
    const double = { dtype: 'float64' } as const
    const weight = new Parameter(tensor(lamb.weight, double))
    const bias = new Parameter(tensor(lamb.bias, double))
    const [inputs, targets] = [tensor(lamb.inputs, double), tensor(lamb.targets, double)]
    const optimizer = new optim.LAMB([weight, bias], options)
    for (const expected of losses) {
      optimizer.zeroGrad()
      const loss = inputs.matmul(weight.t()).add(bias).sub(targets).square().mean()
      loss.backward()
      expect(loss.item()).toBeCloseTo(expected, 10)
      optimizer.step()
    }
    values(weight).forEach((value, i) => {
      expect(value).toBeCloseTo(ends.weight.flat()[i]!, 10)
    })
    values(bias).forEach((value, i) => {
      expect(value).toBeCloseTo(ends.bias[i]!, 10)
    })
  })

  it('falls back to the plain direction for parameters of zero', () => {
    const param = new Parameter(zeros([3]))
    setGrad(param, 2)
    new optim.LAMB([param], { lr: 0.1 }).step()
    for (const value of values(param)) expect(value).toBeCloseTo(-0.1, 6)
  })
})

describe('groups', () => {
  it('gives each group its own options and the rest the defaults', () => {
    const optimizer = new optim.Adam([{ params: [ones()], lr: 0.5 }, { params: ones() }], {
      weightDecay: 0.1,
    })
    expect(optimizer.paramGroups.map(({ lr, weightDecay }) => [lr, weightDecay])).toEqual([
      [0.5, 0.1],
      [1e-3, 0.1],
    ])
    optimizer.addParamGroup({ params: [ones()], betas: [0.5, 0.9] })
    expect(optimizer.paramGroups[2]!.betas).toEqual([0.5, 0.9])
  })

  it('follows what is written into a group, and refuses nonsense at the step', () => {
    const param = ones()
    const optimizer = new optim.SGD([param], { lr: 1 })
    optimizer.paramGroups[0]!.lr = 0.25
    setGrad(param, 1)
    optimizer.step()
    expect(param.item()).toBe(0.75)
    optimizer.paramGroups[0]!.lr = NaN
    expect(() => optimizer.step()).toThrow(/lr must be at least 0, got NaN/)
    expect(param.item()).toBe(0.75)
  })

  it('allows groups without parameters', () => {
    const optimizer = new optim.SGD([{ params: [] }, { params: [ones()] }])
    optimizer.step()
    expect(optimizer.paramGroups.map(({ params }) => params.length)).toEqual([0, 1])
  })

  it('clears gradients to null, or to zeros', () => {
    const param = ones()
    const optimizer = new optim.SGD([param])
    setGrad(param, 3)
    optimizer.zeroGrad(false)
    expect(param.grad!.item()).toBe(0)
    optimizer.zeroGrad()
    expect(param.grad).toBeNull()
  })

  it.each<[string, () => unknown, RegExp]>([
    ['no parameters', () => new optim.SGD([]), /empty list/],
    [
      'a misspelt option',
      () => new optim.Adam([ones()], { learningRate: 1 } as never),
      /learningRate.*lr, betas/,
    ],
    [
      'a misspelt option in a group',
      () => new optim.SGD([{ params: [ones()], mom: 1 } as never]),
      /mom;.*momentum/,
    ],
    ['a group without params', () => new optim.SGD([{ lr: 1 } as never]), /\{ params/],
    ['a negative rate', () => new optim.SGD([ones()], { lr: -1 }), /lr must be at least 0, got -1/],
    ['a beta of one', () => new optim.Adam([ones()], { betas: [0.9, 1] }), /betas\[1\].*\[0, 1\)/],
    ['nesterov without momentum', () => new optim.SGD([ones()], { nesterov: true }), /nesterov/],
    ['a tensor instead of a list', () => new optim.SGD(ones() as never), /list/],
    ['something that is no tensor', () => new optim.SGD([ones(), 3] as never), /tensors/],
  ])('refuses %s', (_name, build, message) => {
    expect(build).toThrow(ConfigError)
    expect(build).toThrow(message)
  })

  it('refuses a parameter given twice, and one that was computed', () => {
    const param = ones()
    expect(() => new optim.SGD([param, param])).toThrow(/more than once/)
    expect(() => new optim.SGD([{ params: [param] }, { params: [param] }])).toThrow(/more than once/)
    expect(() => new optim.SGD([param.mul(2)])).toThrow(/leaf/)
  })
})

describe('state', () => {
  const kinds: [string, (params: Parameter[]) => unknown][] = [
    ['SGD', (params) => new optim.SGD(params, { lr: 0.1, momentum: 0.9, dampening: 0.5 })],
    ['Adam', (params) => new optim.Adam(params, { lr: 0.1, amsgrad: true })],
    ['AdamW', (params) => new optim.AdamW(params, { lr: 0.1 })],
    ['RMSprop', (params) => new optim.RMSprop(params, { lr: 0.1, momentum: 0.5, centered: true })],
    ['Adagrad', (params) => new optim.Adagrad(params, { lr: 0.1, lrDecay: 0.1 })],
    ['LAMB', (params) => new optim.LAMB(params, { lr: 0.1 })],
  ]

  const train = (optimizer: optim.Optimizer, params: Parameter[], steps: number[]) => {
    for (const step of steps) {
      for (const [i, param] of params.entries()) setGrad(param, Math.sin(1 + step * 3 + i))
      optimizer.step()
    }
  }

  for (const [name, build] of kinds) {
    const make = build as (params: Parameter[]) => optim.Optimizer
    it(`${name} goes on from a saved state to the bit`, () => {
      const through = [ones([3]), ones([2, 2])]
      const whole = make(through)
      train(whole, through, [0, 1, 2, 3])

      const first = [ones([3]), ones([2, 2])]
      const before = make(first)
      train(before, first, [0, 1])
      const second = [ones([3]), ones([2, 2])]
      noGrad(() => {
        second.forEach((param, i) => {
          param.copy_(first[i]!)
        })
      })
      const after = make(second)
      after.paramGroups[0]!.lr = 7 // comes from the saved state too
      after.loadStateDict(before.stateDict())
      expect(after.paramGroups[0]!.lr).toBe(0.1)
      train(after, second, [2, 3])
      expect(second.map(values)).toEqual(through.map(values))

      train(before, first, [2]) // the copies are independent
      expect(values(second[0]!)).toEqual(values(through[0]!))
    })
  }

  it('numbers parameters through all groups, and is plain data', () => {
    const params = [ones(), ones(), ones()]
    const optimizer = new optim.Adam([{ params: [params[0]!] }, { params: params.slice(1), lr: 0.5 }])
    setGrad(params[2]!, 1)
    optimizer.step()
    const { state, paramGroups } = optimizer.stateDict()
    expect(Object.keys(state)).toEqual(['2'])
    expect(Object.keys(state['2']!)).toEqual(['step', 'expAvg', 'expAvgSq'])
    expect(state['2']!.step).toBe(1)
    expect(paramGroups.map(({ params, lr }) => ({ params, lr }))).toEqual([
      { params: [0], lr: 1e-3 },
      { params: [1, 2], lr: 0.5 },
    ])
  })

  it('refuses a state of other groups, shapes or another optimizer, and changes nothing', () => {
    const trained = (params: Parameter[]) => {
      const optimizer = new optim.Adam(params)
      for (const param of params) setGrad(param, 1)
      optimizer.step()
      return optimizer.stateDict()
    }
    const optimizer = new optim.Adam([ones([2])], { lr: 0.3 })
    expect(() => optimizer.loadStateDict(trained([ones(), ones()]))).toThrow(CheckpointError)
    expect(() => optimizer.loadStateDict(trained([ones([3])]))).toThrow(/expAvg is \[3\]/)
    const other = new optim.SGD([ones([2])], { momentum: 0.9 }).stateDict()
    expect(() => optimizer.loadStateDict(other as never)).toThrow(/momentum/)
    expect(optimizer.paramGroups[0]!.lr).toBe(0.3)
    expect(optimizer.state.size).toBe(0)
  })
})

describe('memory', () => {
  it('is the same after 300 steps as after 30, and what must last outlives the scopes', () => {
    manualSeed(0)
    const model = scope(
      () => new nn.Sequential(new nn.Linear(8, 16), new nn.BatchNorm1d(16), new nn.Linear(16, 3)),
    )
    const loss = new nn.CrossEntropyLoss()
    const optimizer = new optim.Adam(model.parameters(), { lr: 0.05, amsgrad: true })
    const x = randn([12, 8])
    const y = randint(0, 3, [12])
    const inUse: number[] = []
    for (let step = 1; step <= 300; step++) {
      scope(() => {
        optimizer.zeroGrad()
        loss.forward(model.forward(x), y).backward()
        optimizer.step()
      })
      if (step === 30 || step === 300) inUse.push(memoryStats().bytesInUse)
    }
    expect(inUse[1]).toBe(inUse[0])
    expect(noGrad(() => loss.forward(model.forward(x), y).item())).toBeLessThan(0.01)
  })
})
