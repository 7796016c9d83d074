import { describe, expect, it } from 'vitest'
import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import {
  ConfigError,
  manualSeed,
  noGrad,
  ones,
  randint,
  randn,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'
import { type BatchEndContext, Callback, type EpochBeginContext, Learner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'

const parameters = ({ model }: Learner) =>
  [...model.parameters(), ...model.buffers()].map((each: Tensor) => Array.from(each.dataSync(), Number))

/** Five whole batches and a shorter one in each epoch. */
function make(model: nn.Module, lossFunction: unknown = new nn.CrossEntropyLoss()) {
  const dataset = new TensorDataset(randn([44, 6]), randint(3, [44]))
  const trainDl = new DataLoader(dataset, { batchSize: 8, shuffle: false })
  return new Learner({ trainDl }, model, { lossFunction: lossFunction as nn.CrossEntropyLoss, silent: true })
}

/** The weights after a fit, plain and compiled, and what compiling has recorded at most. */
async function fitBoth(create: () => Learner, callbacks: () => Callback[] = () => []) {
  let recordings = 0
  class Counts extends Callback {
    override onBatchEnd({ learner }: BatchEndContext) {
      recordings = Math.max(recordings, learner.compiled?.recordings ?? 0)
    }
  }
  const results: number[][][] = []
  for (const compiled of [false, true]) {
    manualSeed(5)
    const learner = create().compile(compiled)
    await learner.fit(4, { lr: 0.1, callbacks: [...callbacks(), new Counts()] })
    results.push(parameters(learner))
  }
  return { plain: results[0], compiled: results[1], recordings }
}

class Scaled extends nn.Module {
  body = new nn.Linear(6, 3)
  list = [1, 1]
  options = { scale: 1, name: 'one', mode: { deep: true } as object }
  factor = tensor(1)
  factors = [tensor(1), tensor(1)]
  extra: Tensor | null = null

  override forward(x: Tensor): Tensor {
    const y = this.body
      .forward(x)
      .mul(this.list[0]! * this.options.scale)
      .mul(this.factor)
      .mul(this.factors[1]!)
    return this.extra ? y.add(this.extra) : y
  }
}

describe('what fields hold, under compile()', () => {
  it.each<[string, (model: Scaled, epoch: number) => unknown]>([
    [
      'another list',
      (model, epoch) => {
        model.list = [1 + epoch, 1]
      },
    ],
    [
      'a number in a list',
      (model, epoch) => {
        model.list[0] = 1 + epoch
      },
    ],
    [
      'another object',
      (model, epoch) => {
        model.options = { ...model.options, scale: 1 + epoch }
      },
    ],
    [
      'a number in an object',
      (model, epoch) => {
        model.options.scale = 1 + epoch
      },
    ],
    [
      'another tensor',
      (model, epoch) => {
        model.factor = tensor(1 + epoch).keep()
      },
    ],
    ['the values of a tensor', (model) => model.factor.mul_(1.5)],
    [
      'another tensor in a list',
      (model, epoch) => {
        model.factors[1] = tensor(1 + epoch).keep()
      },
    ],
    [
      'a tensor where none was',
      (model, epoch) => {
        model.extra = epoch % 2 ? ones([3]).keep() : null
      },
    ],
  ])('is noticed when it changes: %s', async (_title, change) => {
    class Changes extends Callback {
      override onEpochBegin({ learner, epoch }: EpochBeginContext) {
        change(learner.model as Scaled, epoch)
      }
    }
    const fits = await fitBoth(
      () => make(new Scaled()),
      () => [new Changes()],
    )
    expect(fits.compiled).toEqual(fits.plain)
    expect(fits.recordings).toBeGreaterThan(0)
  })

  it('is noticed in a loss that is no module', async () => {
    const loss = () => ({
      weights: [1, 1],
      temperature: tensor(1),
      inner: new nn.CrossEntropyLoss(),
      forward(output: Tensor, target: Tensor) {
        return this.inner.forward(output.mul(this.temperature), target).mul(this.weights[0]!)
      },
    })
    class Changes extends Callback {
      override onEpochBegin({ learner, epoch }: EpochBeginContext) {
        const { weights, inner } = learner.lossFunction as unknown as ReturnType<typeof loss>
        weights[0] = 1 + epoch
        Object.assign(inner, { labelSmoothing: 0.1 * epoch })
        Object.assign(learner.lossFunction, { temperature: tensor(1 + epoch).keep() })
      }
    }
    const fits = await fitBoth(
      () => make(new nn.Linear(6, 3), loss()),
      () => [new Changes()],
    )
    expect(fits.compiled).toEqual(fits.plain)
    expect(fits.recordings).toBeGreaterThan(0)
  })
})

/** A layer whose forward pass keeps something for the next one. */
abstract class Carrying extends nn.Module {
  body = new nn.Linear(6, 3)
}

class Last extends Carrying {
  last: Tensor | null = null
  override forward(x: Tensor): Tensor {
    const y = this.body.forward(x)
    const sum = this.last ? y.add(this.last) : y
    this.last = y.detach().mean(0).keep()
    return sum
  }
}

class LastInList extends Carrying {
  state = [zeros([3]), zeros([3])]
  override forward(x: Tensor): Tensor {
    const y = this.body.forward(x)
    const sum = y.add(this.state[0]!)
    this.state = [y.detach().mean(0).keep(), this.state[0]!]
    return sum
  }
}

class ReplacedBuffer extends Carrying {
  average: Tensor = null as never
  constructor() {
    super()
    this.registerBuffer('average', zeros([6]))
  }
  override forward(x: Tensor): Tensor {
    this.average = noGrad(() => this.average.mul(0.9).add(x.mean(0).mul(0.1)).keep())
    return this.body.forward(x.sub(this.average))
  }
}

class ChangedBuffer extends ReplacedBuffer {
  override forward(x: Tensor): Tensor {
    noGrad(() => this.average.copy_(this.average.mul(0.9).add(x.mean(0).mul(0.1))))
    return this.body.forward(x.sub(this.average))
  }
}

class ChangedList extends Carrying {
  signs = [1, -1]
  override forward(x: Tensor): Tensor {
    this.signs.reverse()
    return this.body.forward(x).mul(this.signs[0]!)
  }
}

class Flips extends Carrying {
  sign = 1
  override forward(x: Tensor): Tensor {
    this.sign = -this.sign
    return this.body.forward(x).mul(1 + 0.1 * this.sign)
  }
}

class CountsCalls extends Carrying {
  calls = 0
  override forward(x: Tensor): Tensor {
    this.calls++
    return this.body.forward(x).mul(1 + 1 / this.calls)
  }
}

/** Makes a table for the size of the batch, and another one when that changes. */
class CachesTable extends Carrying {
  table: Tensor | null = null
  override forward(x: Tensor): Tensor {
    if (this.table?.size(0) !== x.size(0))
      this.table = ones([x.size(0), 1])
        .div(x.size(0))
        .keep()
    return this.body.forward(x).add(this.table!)
  }
}

class ShowsAttention extends Carrying {
  attention: Tensor | undefined
  size: readonly number[] = []
  override forward(x: Tensor): Tensor {
    const y = this.body.forward(x)
    this.attention = y.detach().softmax(1)
    this.size = x.shape
    return y
  }
}

describe('what a forward pass leaves in fields, under compile()', () => {
  it.each<[string, () => nn.Module, RegExp]>([
    ['a tensor of the pass before', () => new Last(), /Last computes from the tensor in its field 'last'/],
    ['tensors of it in a list', () => new LastInList(), /its field 'state'/],
    ['a buffer that is replaced', () => new ReplacedBuffer(), /'average' and puts another one there.*copy_/],
    ['a list changed in place', () => new ChangedList(), /ChangedList changes what is in its field 'signs'/],
  ])('is refused where repeating goes wrong: %s', async (_title, create, message) => {
    manualSeed(5)
    const fit = make(create()).compile().fit(2)
    await expect(fit).rejects.toThrow(ConfigError)
    await expect(fit).rejects.toThrow(message)
    await make(create()).fit(2)
  })

  it.each<[string, () => nn.Module, number]>([
    ['a buffer changed in place', () => new ChangedBuffer(), 2],
    ['a number that comes again', () => new Flips(), 3],
    ['a number that never does', () => new CountsCalls(), 0],
    ['a table for each size', () => new CachesTable(), 2],
    // Whole batches after a shorter one find another size.
    ['what only others look at', () => new ShowsAttention(), 3],
  ])('is as without it: %s', async (_title, create, recordings) => {
    const fits = await fitBoth(() => make(create()))
    expect(fits.compiled).toEqual(fits.plain)
    expect(fits.recordings).toBe(recordings)
  })

  it('can be looked at in each batch', async () => {
    const seen: (readonly [readonly number[], number[]])[][] = []
    for (const compiled of [false, true]) {
      const all: (readonly [readonly number[], number[]])[] = []
      class Looks extends Callback {
        override onBatchEnd({ learner }: BatchEndContext) {
          const { attention, size } = learner.model as ShowsAttention
          all.push([size, Array.from(attention!.dataSync(), Number)])
        }
      }
      manualSeed(5)
      await make(new ShowsAttention())
        .compile(compiled)
        .fit(3, { callbacks: [new Looks()] })
      seen.push(all)
    }
    expect(seen[1]).toEqual(seen[0])
    expect(seen[0]!.length).toBe(18)
  })
})
