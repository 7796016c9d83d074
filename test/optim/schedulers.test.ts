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

/** What PyTorch's schedulers do, see fixtures/make_schedulers.py. */
const { metrics, cases } = JSON.parse(
  readFileSync(new URL('fixtures/schedulers.json', import.meta.url), 'utf8'),
) as { metrics: number[]; cases: Case[] }

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

describe('schedulers and groups', () => {
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
  })
})
