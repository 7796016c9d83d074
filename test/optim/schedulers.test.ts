import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { CheckpointError, ConfigError } from '../../src/engine/errors.ts'
import { zeros } from '../../src/engine/index.ts'
import { Parameter } from '../../src/nn/Parameter.ts'
import * as optim from '../../src/optim/index.ts'

interface Case {
  scheduler: string
  options: Record<string, unknown>
  optimizer: 'SGD' | 'Adam'
  lrs: number[]
  momentums: number[]
}

/** Schedulers that step in turn on two groups; by hand all rates are scaled, or a third group is added. */
interface Chain {
  chain: string
  schedulers: [name: string, options: Record<string, unknown>][]
  scaleAt: number | null
  addAt: number | null
  /** For each step those of all groups. */
  lrs: number[][]
  momentums: number[][]
}

/** A scheduler that is made after seven steps of others, on their optimizer or on one that has loaded its state. */
interface Later {
  later: string
  first: Chain['schedulers']
  then: Chain['schedulers'][number]
  loaded: boolean
  lrs: number[][]
}

/** What PyTorch's schedulers do, see fixtures/make_schedulers.py. */
const { metrics, cases, chained, later } = JSON.parse(
  readFileSync(new URL('fixtures/schedulers.json', import.meta.url), 'utf8'),
) as { metrics: number[]; cases: Case[]; chained: Chain[]; later: Later[] }

type AnyScheduler = {
  step(metric?: number): unknown
  stateDict(): unknown
  loadStateDict(state: unknown): void
}

function make(
  { scheduler, options, optimizer: kind }: Case,
  optimizer = makeOptimizer(kind),
): [optim.Optimizer, AnyScheduler] {
  const constructors = optim as unknown as Record<string, new (...args: unknown[]) => AnyScheduler>
  const given = scheduler === 'LambdaLR' ? { lrLambda: (step: number) => 0.95 ** step } : options
  return [optimizer, new constructors[scheduler]!(optimizer, given)]
}

function makeOptimizer(kind: 'SGD' | 'Adam'): optim.Optimizer {
  const parameters = [new Parameter(zeros([1]))]
  if (kind === 'Adam') return new optim.Adam(parameters, { lr: 0.1 }) as unknown as optim.Optimizer
  return new optim.SGD(parameters, { lr: 0.1, momentum: 0.9 }) as unknown as optim.Optimizer
}

const momentumOf = (optimizer: optim.Optimizer) => {
  const group = optimizer.paramGroups[0] as { momentum?: number; betas?: number[] }
  return group.betas?.[0] ?? group.momentum!
}

describe('schedulers set PyTorch’s rates', () => {
  for (const given of cases) {
    it(`${given.scheduler} ${JSON.stringify(given.options)}`, () => {
      const [optimizer, scheduler] = make(given)
      given.lrs.forEach((lr, step) => {
        expect(optimizer.paramGroups[0]!.lr, `rate after ${step} steps`).toBeCloseTo(lr, 12)
        expect(momentumOf(optimizer), `momentum after ${step} steps`).toBeCloseTo(given.momentums[step]!, 12)
        scheduler.step(metrics[step])
      })
    })

    it(`${given.scheduler} ${JSON.stringify(given.options)} goes on from a saved state`, () => {
      const [, first] = make(given)
      for (let step = 0; step < 9; step++) first.step(metrics[step])
      const [optimizer, second] = make(given)
      second.loadStateDict(JSON.parse(JSON.stringify(first.stateDict())))
      for (let step = 9; step < given.lrs.length; step++) {
        expect(optimizer.paramGroups[0]!.lr).toBeCloseTo(given.lrs[step]!, 12)
        second.step(metrics[step])
      }
    })
  }
})

describe('schedulers that share an optimizer, or rates that are written to, come to PyTorch’s rates', () => {
  const parameters = () => [new Parameter(zeros([1]))]

  function begin({ schedulers }: Chain, added: boolean): [optim.SGD, AnyScheduler[]] {
    const groups = [0.1, 0.02, ...(added ? [0.2] : [])].map((lr) => ({ params: parameters(), lr }))
    const optimizer = new optim.SGD(groups, { momentum: 0.9 })
    const constructors = optim as unknown as Record<string, new (...args: unknown[]) => AnyScheduler>
    const made = schedulers.map(([name, options]) => {
      const factor = options.factor as number
      const lrLambda = (step: number) => (factor ? factor ** step : step / 10)
      return new constructors[name]!(optimizer, name === 'LambdaLR' ? { lrLambda } : options)
    })
    return [optimizer, made]
  }

  function expectAt(given: Chain, step: number, optimizer: optim.SGD): void {
    const { paramGroups } = optimizer
    const [lrs, momentums] = [given.lrs[step]!, given.momentums[step]!]
    expect(paramGroups).toHaveLength(lrs.length)
    paramGroups.forEach(({ lr, momentum }, i) => {
      const wanted = lrs[i]!
      expect(Math.abs(lr - wanted), `${lr}, not ${wanted}, after ${step} steps`).toBeLessThanOrEqual(
        1e-13 * wanted,
      )
      expect(momentum, `momentum after ${step} steps`).toBeCloseTo(momentums[i]!, 12)
    })
  }

  function advance(given: Chain, step: number, optimizer: optim.SGD, schedulers: AnyScheduler[]): void {
    if (step === given.scaleAt) for (const group of optimizer.paramGroups) group.lr *= 0.3
    if (step === given.addAt) optimizer.addParamGroup({ params: parameters(), lr: 0.2 })
    expectAt(given, step, optimizer)
    for (const scheduler of schedulers) scheduler.step()
  }

  it.each(chained.map((given) => [given.chain, given] as const))('%s', (_, given) => {
    const [optimizer, schedulers] = begin(given, false)
    for (const step of given.lrs.keys()) advance(given, step, optimizer, schedulers)
  })

  // Also where the optimizer that goes on has all groups from the beginning.
  it.each(chained.map((given) => [given.chain, given] as const))('%s, from a saved state', (_, given) => {
    const [before, saved] = begin(given, false)
    for (let step = 0; step < 9; step++) advance(given, step, before, saved)
    const [optimizer, schedulers] = begin(given, given.addAt !== null)
    // In the other order: neither may spoil what the other has restored.
    for (const i of [...saved.keys()].reverse()) {
      schedulers[i]!.loadStateDict(JSON.parse(JSON.stringify(saved[i]!.stateDict())))
    }
    for (let step = 9; step < given.lrs.length; step++) advance(given, step, optimizer, schedulers)
  })

  it.each(later.map((given) => [given.later, given] as const))('%s', (_, given) => {
    const optimizerOfTwo = () =>
      new optim.SGD(
        [0.1, 0.02].map((lr) => ({ params: parameters(), lr })),
        { momentum: 0.9 },
      )
    const constructors = optim as unknown as Record<string, new (...args: unknown[]) => AnyScheduler>
    const make = (optimizer: optim.SGD, [name, options]: Later['then']) => {
      const lrLambda = (step: number) => (options.factor as number) ** step
      return new constructors[name]!(optimizer, name === 'LambdaLR' ? { lrLambda } : options)
    }
    let optimizer = optimizerOfTwo()
    const first = given.first.map((each) => make(optimizer, each))
    for (let step = 0; step < 7; step++) for (const scheduler of first) scheduler.step()
    if (given.loaded) {
      const state = JSON.parse(JSON.stringify(optimizer.stateDict()))
      optimizer = optimizerOfTwo()
      optimizer.loadStateDict(state)
    }
    const scheduler = make(optimizer, given.then)
    for (const [step, lrs] of given.lrs.entries()) {
      optimizer.paramGroups.forEach(({ lr }, i) => {
        expect(Math.abs(lr - lrs[i]!), `${lr}, not ${lrs[i]}, after ${step} steps`).toBeLessThanOrEqual(
          1e-12 * lrs[i]!,
        )
      })
      scheduler.step()
    }
  })

  it('goes on from a state without rates at those that the schedule alone comes to', () => {
    const optimizer = new optim.SGD(parameters(), { lr: 1 })
    const scheduler = new optim.StepLR(optimizer, { stepSize: 2, gamma: 0.5 })
    scheduler.loadStateDict({ stepCount: 5, baseLrs: [0.8] })
    expect(scheduler.lastLrs()).toEqual([0.2])
    scheduler.step()
    expect(scheduler.lastLrs()).toEqual([0.1])
  })
})

describe('schedulers and groups', () => {
  it('a cycle refuses a group that comes later, and stays where it is', () => {
    const optimizer = makeOptimizer('SGD')
    const scheduler = new optim.OneCycleLR(optimizer, { maxLr: 1, totalSteps: 10 })
    scheduler.step()
    optimizer.addParamGroup({ params: [new Parameter(zeros([1]))], lr: 0.5 })
    const before = scheduler.lastLrs()
    expect(() => scheduler.step()).toThrow(/made for 1 parameter groups.*now has 2/)
    expect(() => scheduler.step()).toThrow(ConfigError)
    expect([scheduler.stepCount, scheduler.lastLrs()]).toEqual([1, before])
  })

  it('a plateau lowers a group that comes later, down to the bound of all', () => {
    const add = (optimizer: optim.Optimizer) =>
      optimizer.addParamGroup({ params: [new Parameter(zeros([1]))], lr: 0.5 })
    const [first, second] = [makeOptimizer('SGD'), makeOptimizer('SGD')]
    const scheduler = new optim.ReduceLROnPlateau(first, { patience: 0, minLr: 0.2 })
    add(first)
    expect([scheduler.step(1), scheduler.step(1)]).toEqual([false, true])
    expect(scheduler.lastLrs()).toEqual([0.1, 0.2])
    const bounded = new optim.ReduceLROnPlateau(second, { patience: 0, minLr: [0.2] })
    add(second)
    expect(() => bounded.step(1)).toThrow(/1 values of minLr for 2 parameter groups/)
  })

  it('loads no state of groups that the scheduler was not made for', () => {
    const two = makeOptimizer('SGD')
    const one = makeOptimizer('SGD')
    two.addParamGroup({ params: [new Parameter(zeros([1]))] })
    const saved = new optim.CyclicLR(two, { baseLr: 0.1, maxLr: 1 }).stateDict()
    const scheduler = new optim.CyclicLR(one, { baseLr: 0.1, maxLr: 1 })
    one.addParamGroup({ params: [new Parameter(zeros([1]))] })
    expect(() => scheduler.loadStateDict(saved)).toThrow(/made for 2 parameter groups, this one for 1/)
  })

  it('moves every group from its own rate', () => {
    const optimizer = new optim.SGD([
      { params: [new Parameter(zeros([1]))], lr: 1 },
      { params: [new Parameter(zeros([1]))], lr: 0.1 },
    ])
    const scheduler = new optim.StepLR(optimizer, { stepSize: 1, gamma: 0.5 })
    scheduler.step()
    expect(scheduler.lastLrs()).toEqual([0.5, 0.05])
  })

  it('keeps discriminative rates apart in a cycle', () => {
    const optimizer = new optim.Adam([
      { params: [new Parameter(zeros([1]))] },
      { params: [new Parameter(zeros([1]))] },
    ])
    const scheduler = new optim.OneCycleLR(optimizer, { maxLr: [1, 10], totalSteps: 10 })
    const [low, high] = scheduler.lastLrs()
    expect(low).toBeCloseTo(1 / 25, 12)
    expect(high).toBeCloseTo(10 / 25, 12)
    expect(() => new optim.OneCycleLR(optimizer, { maxLr: [1, 2, 3], totalSteps: 10 })).toThrow(ConfigError)
  })
})

describe('schedulers refuse what makes no sense', () => {
  const sgd = () => makeOptimizer('SGD')
  it.each<[string, () => unknown, RegExp]>([
    ['a misspelt option', () => new optim.StepLR(sgd(), { stepSiz: 3 } as never), /stepSiz.*stepSize, gamma/],
    ['a step size of zero', () => new optim.StepLR(sgd(), { stepSize: 0 }), /stepSize/],
    ['a cycle of unknown length', () => new optim.OneCycleLR(sgd(), { maxLr: 1 }), /totalSteps/],
    ['a factor of 1', () => new optim.ReduceLROnPlateau(sgd(), { factor: 1 }), /factor/],
    [
      'an unknown mode',
      () => new optim.CyclicLR(sgd(), { baseLr: 0, maxLr: 1, mode: 'round' as never }),
      /round/,
    ],
    [
      'as many functions as there are groups',
      () => new optim.LambdaLR(sgd(), { lrLambda: [] }),
      /0 functions/,
    ],
  ])('%s', (_name, build, message) => {
    expect(build).toThrow(ConfigError)
    expect(build).toThrow(message)
  })

  it('a momentum to cycle where there is none', () => {
    const adagrad = new optim.Adagrad([new Parameter(zeros([1]))])
    expect(() => new optim.CyclicLR(adagrad, { baseLr: 0.1, maxLr: 1 })).toThrow(/cycleMomentum: false/)
  })

  it('a step past the end of the cycle', () => {
    const scheduler = new optim.OneCycleLR(sgd(), { maxLr: 1, totalSteps: 2 })
    scheduler.step()
    scheduler.step()
    expect(() => scheduler.step()).toThrow(ConfigError)
  })

  it('a state of other groups', () => {
    const scheduler = new optim.ExponentialLR(sgd(), { gamma: 0.9 })
    expect(() => scheduler.loadStateDict({ stepCount: 1, baseLrs: [1, 2] })).toThrow(CheckpointError)
    expect(() => scheduler.loadStateDict({ stepCount: 1, baseLrs: [1], lrs: [1, 2] })).toThrow(
      CheckpointError,
    )
    expect(() => scheduler.loadStateDict({ stepCount: 1, baseLrs: [1], lrs: ['1'] as never })).toThrow(
      CheckpointError,
    )
  })
})
