import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { CheckpointError, ConfigError } from '../../src/engine/errors.ts'
import { manualSeed, ones, randn, type Tensor, tensor, zeros } from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'

class Block extends nn.Module {
  conv1 = new nn.Conv2d(4, 4, 3, { padding: 1, bias: false })
  bn1 = new nn.BatchNorm2d(4)
  scale = new nn.Parameter(ones([1]))
  plain = ones([3]) // neither trained nor saved
  shortcut: nn.Module | null = null

  override forward(x: Tensor): Tensor {
    return this.bn1.forward(this.conv1.forward(x), { activation: 'relu', residual: x }).mul(this.scale)
  }
}

class Net extends nn.Module {
  stem = new nn.Sequential(new nn.Conv2d(3, 4, { kernelSize: 3, stride: 2 }), new nn.ReLU())
  blocks = new nn.ModuleList([new Block(), new Block()])
  head = new nn.Linear(4, 2)

  constructor() {
    super()
    this.registerBuffer('mean', zeros([3]))
    this.registerBuffer('counter', zeros([1]), { persistent: false })
  }

  override forward(x: Tensor): Tensor {
    x = this.stem.forward(x)
    for (const block of this.blocks) x = block.forward(x)
    return this.head.forward(x.mean([2, 3]))
  }
}

const keys = [
  'mean',
  'stem.0.weight',
  'stem.0.bias',
  ...['0', '1'].flatMap((i) =>
    [
      'scale',
      'conv1.weight',
      'bn1.weight',
      'bn1.bias',
      'bn1.running_mean',
      'bn1.running_var',
      'bn1.num_batches_tracked',
    ].map((key) => `blocks.${i}.${key}`),
  ),
  'head.weight',
  'head.bias',
]

describe('what a module holds', () => {
  it('lists state in PyTorch’s order and under its names', () => {
    expect(Object.keys(new Net().stateDict())).toEqual(keys)
    expect(Object.keys(new Block().stateDict({ prefix: 'body.' }))[0]).toBe('body.scale')
  })

  it('finds parameters and buffers, and leaves plain tensors alone', () => {
    const net = new Net()
    const buffers = ['mean', 'running_mean', 'running_var', 'num_batches_tracked']
    const trained = keys.filter((key) => !buffers.includes(key.split('.').at(-1)!))
    expect(net.namedParameters().map(([name]) => name)).toEqual(trained)
    expect(net.parameters()).toHaveLength(trained.length)
    expect(net.parameters().every((parameter) => parameter.requiresGrad && parameter.isLeaf)).toBe(true)
    expect(net.namedBuffers().map(([name]) => name)).toContain('counter')
    expect(net.buffers()).toHaveLength(2 + 2 * 3)
    expect(net.parameters({ recurse: false })).toHaveLength(0)
  })

  it('lists modules outermost first, and applies innermost first', () => {
    const net = new Net()
    expect(net.namedModules().map(([name]) => name)).toEqual([
      '',
      'stem',
      'stem.0',
      'stem.1',
      'blocks',
      'blocks.0',
      'blocks.0.conv1',
      'blocks.0.bn1',
      'blocks.1',
      'blocks.1.conv1',
      'blocks.1.bn1',
      'head',
    ])
    expect(net.children().map((child) => child.constructor.name)).toEqual([
      'Sequential',
      'ModuleList',
      'Linear',
    ])
    const applied: string[] = []
    net.apply((module) => applied.push(module.constructor.name))
    expect(applied.slice(0, 3)).toEqual(['Conv2d', 'ReLU', 'Sequential'])
    expect(applied.at(-1)).toBe('Net')
  })

  it('counts shared parameters and modules once, and saves them under every name', () => {
    class Tied extends nn.Module {
      encoder = new nn.Linear(3, 3)
      decoder = new nn.Linear(3, 3)
      again = this.encoder
      constructor() {
        super()
        this.decoder.weight = this.encoder.weight
      }
    }
    const tied = new Tied()
    expect(tied.namedParameters().map(([name]) => name)).toEqual([
      'encoder.weight',
      'encoder.bias',
      'decoder.bias',
    ])
    expect(tied.modules()).toHaveLength(3)
    expect(Object.keys(tied.stateDict())).toHaveLength(6)
  })

  it('refuses a plain array of modules, which PyTorch would overlook', () => {
    class Wrong extends nn.Module {
      layers = [new nn.Linear(1, 1)]
    }
    expect(() => new Wrong().parameters()).toThrow(ConfigError)
    expect(() => new Wrong().parameters()).toThrow(/Wrong\.layers.*ModuleList/)
    class Referring extends nn.Module {
      readonly #layers: nn.Module[]
      constructor(layers: nn.Module[]) {
        super()
        this.#layers = layers
      }
      count() {
        return this.#layers.length
      }
    }
    expect(new Referring([new nn.Linear(1, 1)]).parameters()).toEqual([])
  })

  it('refuses a module inside itself with a hint', () => {
    class Child extends nn.Module {
      parent: nn.Module | null = null
    }
    class Parent extends nn.Module {
      child = new Child()
    }
    const parent = new Parent()
    parent.child.parent = parent
    expect(parent.modules()).toHaveLength(2)
    expect(() => parent.stateDict()).toThrow(/contains itself.*#private/)
    expect(() => String(parent)).toThrow(/contains itself/)
  })

  it('refuses a buffer under a name that is taken', () => {
    expect(() => new Net().registerBuffer('head', zeros([1]))).toThrow(/'head'/)
    const net = new Net()
    net.registerBuffer('mean', ones([3]))
    expect(net.stateDict().mean!.toArray()).toEqual([1, 1, 1])
  })
})

describe('modes, gradients, conversion', () => {
  it('switches everything between training and evaluation', () => {
    const net = new Net()
    expect(net.eval()).toBe(net)
    expect(net.modules().some((module) => module.training)).toBe(false)
    expect(
      net
        .train()
        .modules()
        .every((module) => module.training),
    ).toBe(true)
  })

  it('freezes and clears', () => {
    const net = new nn.Linear(2, 1)
    net
      .forward(ones([1, 2]))
      .sum()
      .backward()
    expect(net.weight.grad).not.toBeNull()
    net.zeroGrad(false)
    expect(net.weight.grad!.toArray()).toEqual([[0, 0]])
    net.zeroGrad()
    expect(net.weight.grad).toBeNull()
    net.requiresGrad_(false)
    expect(net.parameters()).toHaveLength(2)
    expect(net.forward(ones([1, 2])).requiresGrad).toBe(false)
  })

  it('converts in place: parameters stay the same objects, integers stay integers', () => {
    const net = new Net()
    const before = net.parameters()
    const optimizer = new optim.SGD(before, { lr: 0.1 })
    expect(net.double()).toBe(net)
    expect(net.parameters().every((parameter, i) => parameter === before[i])).toBe(true)
    expect(net.parameters().every((parameter) => parameter.dtype === 'float64')).toBe(true)
    expect(net.blocks[0]!.bn1.runningVar!.dtype).toBe('float64')
    expect(net.blocks[0]!.bn1.numBatchesTracked!.dtype).toBe('int64')
    net
      .forward(randn([2, 3, 9, 9], { dtype: 'float64' }))
      .sum()
      .backward()
    const old = net.head.bias!.toArray()
    optimizer.step()
    expect(net.head.bias!.dtype).toBe('float64')
    expect(net.head.bias!.toArray()).not.toEqual(old)
    expect(() => net.to('int64')).toThrow(/floating/)
  })
})

describe('state', () => {
  it('copies values in place', () => {
    manualSeed(1)
    const [from, to] = [new Net(), new Net()]
    const weight = to.head.weight
    expect(to.loadStateDict(from.stateDict())).toEqual({ missingKeys: [], unexpectedKeys: [] })
    expect(to.head.weight).toBe(weight)
    expect(weight.toArray()).toEqual(from.head.weight.toArray())
    expect(weight.requiresGrad && weight.isLeaf).toBe(true)
    const x = randn([1, 3, 9, 9])
    expect(to.eval().forward(x).toArray()).toEqual(from.eval().forward(x).toArray())
  })

  it('lists every mismatch at once and changes nothing', () => {
    const net = new Net()
    const state = new Net().stateDict()
    const bias = net.head.bias!.toArray()
    delete state['stem.0.bias']
    state['tail.weight'] = zeros([1])
    state['blocks.1.scale'] = zeros([2])
    let message = ''
    try {
      net.loadStateDict(state)
    } catch (error) {
      expect(error).toBeInstanceOf(CheckpointError)
      message = (error as Error).message
    }
    expect(message).toContain('missing (1): stem.0.bias')
    expect(message).toContain('not in the model (1): tail.weight')
    expect(message).toContain('blocks.1.scale is [2], the model has [1]')
    expect(net.head.bias!.toArray()).toEqual(bias)
    expect(() => net.loadStateDict(state, { strict: false })).toThrow(/blocks\.1\.scale/)
    delete state['blocks.1.scale']
    expect(net.loadStateDict(state, { strict: false })).toEqual({
      missingKeys: ['stem.0.bias', 'blocks.1.scale'],
      unexpectedKeys: ['tail.weight'],
    })
    expect(net.head.bias!.toArray()).toEqual(state['head.bias']!.toArray())
    expect(() => net.loadStateDict({ ...state, mean: 3 } as never, { strict: false })).toThrow(
      /mean is no tensor/,
    )
  })

  it('does without num_batches_tracked, which old PyTorch files lack', () => {
    const norm = new nn.BatchNorm2d(2)
    const { num_batches_tracked: _, ...state } = norm.stateDict()
    expect(norm.loadStateDict(state)).toEqual({ missingKeys: [], unexpectedKeys: [] })
  })
})

describe('hooks', () => {
  it('run when users call forward, in order, and can replace inputs and outputs', () => {
    const layer = new nn.Identity()
    const seen: string[] = []
    const before = layer.registerForwardPreHook((module, [x]) => {
      seen.push(`before ${module === layer}`)
      return [x.add(1)]
    })
    const watching = layer.registerForwardHook((_module, [x], output) => {
      seen.push(`after ${x.item()} ${output.item()}`)
    })
    const doubling = layer.registerForwardHook((_module, _inputs, output) => output.mul(2))
    const x = tensor(3)
    expect(new nn.Sequential(layer).forward(x).item()).toBe(8)
    expect(layer.call(x).item()).toBe(8)
    expect(seen.slice(0, 2)).toEqual(['before true', 'after 4 4'])
    doubling.remove()
    expect(layer.forward(x).item()).toBe(4)
    before.remove()
    watching.remove()
    watching.remove()
    expect(layer.forward(x).item()).toBe(3)
    expect(Object.getOwnPropertyNames(layer)).not.toContain('forward')
    expect(seen).toHaveLength(6)
  })

  it('work on a forward that is a field', () => {
    class Field extends nn.Module {
      override forward = (x: Tensor) => x.mul(10)
    }
    const layer = new Field()
    {
      using _hook = layer.registerForwardHook((_module, _inputs, output) => output.add(1))
      expect(layer.forward(tensor(1)).item()).toBe(11)
    }
    expect(layer.forward(tensor(1)).item()).toBe(10)
  })
})

describe('printing', () => {
  it('prints as PyTorch 1.13 prints the same model', () => {
    const model = new nn.Sequential(
      new nn.Conv2d(3, 64, 7, { stride: 2, padding: 3, bias: false }),
      new nn.BatchNorm2d(64),
      new nn.MaxPool2d(3, { stride: 2, padding: 1 }),
      new nn.Sequential(new nn.Conv2d(64, 8, [3, 5], { groups: 2, dilation: 2 }), new nn.LeakyReLU(0.2)),
      new nn.AdaptiveAvgPool2d([1, 1]),
      new nn.Flatten(),
      new nn.Dropout(0.25),
      new nn.Linear(8, 10, { bias: false }),
      new nn.Softmax(1),
    )
    expect(String(model)).toBe(`Sequential(
  (0): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)
  (1): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
  (2): MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)
  (3): Sequential(
    (0): Conv2d(64, 8, kernel_size=(3, 5), stride=(1, 1), dilation=(2, 2), groups=2)
    (1): LeakyReLU(negative_slope=0.2)
  )
  (4): AdaptiveAvgPool2d(output_size=(1, 1))
  (5): Flatten(start_dim=1, end_dim=-1)
  (6): Dropout(p=0.25, inplace=False)
  (7): Linear(in_features=8, out_features=10, bias=False)
  (8): Softmax(dim=1)
)`)
    expect(inspect(model)).toBe(String(model))
    expect(String(new nn.ReLU())).toBe('ReLU()')
  })

  it('summarises shapes and counts without leaving a trace', () => {
    const net = new Net()
    net.head.requiresGrad_(false)
    net.blocks[1]!.eval()
    const before = net.blocks[0]!.bn1.runningMean!.toArray()
    const summary = net.summary([1, 3, 9, 9])
    expect(
      summary.rows.map(({ name, outputShapes, parameters, trainable }) => [
        name,
        outputShapes[0],
        parameters,
        trainable,
      ]),
    ).toEqual([
      ['stem.0', [1, 4, 4, 4], 112, 112],
      ['stem.1', [1, 4, 4, 4], 0, 0],
      ['blocks.0', [1, 4, 4, 4], 1, 1],
      ['blocks.0.conv1', [1, 4, 4, 4], 144, 144],
      ['blocks.0.bn1', [1, 4, 4, 4], 8, 8],
      ['blocks.1', [1, 4, 4, 4], 1, 1],
      ['blocks.1.conv1', [1, 4, 4, 4], 144, 144],
      ['blocks.1.bn1', [1, 4, 4, 4], 8, 8],
      ['head', [1, 2], 10, 0],
    ])
    expect(summary.parameters).toBe(428)
    expect(summary.trainable).toBe(418)
    expect(String(summary)).toContain('head (Linear)')
    expect(String(summary)).toContain('428 parameters, 418 trainable, 10 frozen')
    expect(inspect(summary)).toBe(String(summary))
    expect(net.blocks[0]!.bn1.runningMean!.toArray()).toEqual(before)
    expect(net.training).toBe(true)
    expect(net.blocks[1]!.bn1.training).toBe(false)
    expect(Object.getOwnPropertyNames(net.head)).not.toContain('forward')
    expect(() => net.summary(3 as never)).toThrow(ConfigError)
  })

  it('summarises a model of two inputs', () => {
    class Two extends nn.Module<[Tensor, Tensor]> {
      a = new nn.Linear(2, 3)
      b = new nn.Linear(4, 3)
      unused = new nn.Linear(1, 1)
      override forward(x: Tensor, y: Tensor): Tensor {
        return F.relu(this.a.forward(x).add(this.b.forward(y)))
      }
    }
    const { rows } = new Two().summary([
      [5, 2],
      [5, 4],
    ])
    expect(rows.map(({ outputShapes }) => outputShapes)).toEqual([[[5, 3]], [[5, 3]], []])
  })

  it('summarises a model whose inputs have several dtypes, which are given as tensors', () => {
    class Embedded extends nn.Module<[Tensor, Tensor]> {
      table = new nn.Embedding(4, 3)
      none = new nn.ModuleList([])
      override forward(indices: Tensor, shift: Tensor): Tensor {
        return this.table.forward(indices).add(shift)
      }
    }
    const inputs = [zeros([5], { dtype: 'int64' }), zeros([3])]
    const summary = new Embedded().summary(inputs)
    expect(summary.title).toBe('Embedded, inputs [5] int64, [3] float32')
    expect(summary.rows.map(({ name, outputShapes }) => [name, outputShapes])).toEqual([['table', [[5, 3]]]])
    const layer = new nn.Linear(3, 2)
    expect(layer.summary(zeros([7, 3])).title).toBe('Linear, input [7, 3]')
    expect(layer.summary([7, 3]).title).toBe('Linear, input [7, 3]')
    expect(() => layer.summary([zeros([1, 3]), [1, 3]] as never)).toThrow(/all shapes.*or all tensors/)
    expect(() => layer.summary(zeros([1, 3]), { dtype: 'float32' })).toThrow(/dtype 'float32' is for shapes/)
    expect(() => layer.summary([])).toThrow(/expected the shape of the input/)
  })
})
