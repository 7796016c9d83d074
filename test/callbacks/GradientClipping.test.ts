import { describe, expect, it } from 'vitest'
import { GradientClipping } from '../../callbacks/index.ts'
import { Callback, Learner, type StepEndContext } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { lineData, lineLearner } from '../learner/support.ts'

class Norms extends Callback {
  readonly values: number[] = []
  override onStepEnd({ learner }: StepEndContext) {
    const squares = learner.optimizer
      .parameters()
      .map(({ grad }) => [...grad!.dataSync()].reduce((sum, g) => sum + g * g, 0))
    this.values.push(Math.sqrt(squares.reduce((sum, square) => sum + square, 0)))
  }
}

describe('GradientClipping', () => {
  it('scales all gradients together down to the norm given, and leaves smaller ones alone', async () => {
    const norms = async (callbacks: Callback[]) => {
      const model = new nn.Linear(1, 1)
      for (const parameter of model.parameters()) parameter.detach().fill_(1)
      const learner = new Learner(lineData({ batches: 1 }), model, {
        lossFunction: new nn.MSELoss(),
        silent: true,
      })
      const watch = new Norms()
      await learner.fit(1, { lr: 0, callbacks: [...callbacks, watch] })
      return watch.values[0]!
    }
    const free = await norms([])
    expect(free).toBeGreaterThan(0.5)
    expect(await norms([new GradientClipping(0.1)])).toBeCloseTo(0.1, 5)
    expect(await norms([new GradientClipping({ clip: 100 })])).toBeCloseTo(free, 6)
  })

  it('bears a gradient of zero', async () => {
    const learner = lineLearner({ lossFunction: (output) => output.sum().mul(0) })
    await learner.fit(1, { callbacks: [new GradientClipping(0.1)] })
    expect(learner.recorder.losses.at(-1)).toBe(0)
  })

  it('refuses a norm that is not above 0', () => {
    expect(() => new GradientClipping(0)).toThrow(/clip must be above 0, got 0/)
  })
})
