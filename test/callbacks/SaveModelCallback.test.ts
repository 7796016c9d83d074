import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SaveModelCallback } from '../../callbacks/index.ts'
import { ConfigError } from '../../src/engine/errors.ts'
import { readSafetensors } from '../../src/io/index.ts'
import { Callback } from '../../src/learner/index.ts'
import { Canned, lineLearner, weightOf } from '../learner/support.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-save-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** The weight at the end of each epoch. */
class Weights extends Callback {
  readonly values: number[] = []
  override onEpochEnd({ learner }: { learner: Parameters<typeof weightOf>[0] }) {
    this.values.push(weightOf(learner))
  }
}

describe('SaveModelCallback', () => {
  it('saves whenever the value improves (fastai: epochs 0, 1 and 3), and loads the best at the end', async () => {
    const learner = lineLearner({ path: folder })
    const save = new SaveModelCallback({ name: 'best' })
    const weights = new Weights()
    const canned = new Canned([1, 0.8, 0.9, 0.7, 0.75])
    await learner.fit(5, { lr: 0.1, callbacks: [canned, weights, save] })
    expect(save.savedEpochs).toEqual([0, 1, 3])
    expect(save.best).toBe(0.7)
    expect(weightOf(learner)).toBe(weights.values[3])
    expect(weights.values[4]).not.toBe(weights.values[3])
    const { tensors } = await readSafetensors(join(folder, 'models', 'best.safetensors'))
    expect(Object.keys(tensors)).toEqual(['weight'])
    expect(tensors.weight!.item()).toBe(weights.values[3])
  })

  it('takes higher for better where the name is of no loss or error, or as told', async () => {
    const epochs = async (options: object) => {
      const save = new SaveModelCallback(options)
      const learner = lineLearner({ path: folder, metrics: [Object.assign(() => 0, {})].map(() => score) })
      await learner.fit(4, { callbacks: [new Canned([0.5, 0.7, 0.6, 0.8], 'score'), save] })
      return save.savedEpochs
    }
    const score = { name: 'score', begin: () => ({ update() {}, value: () => 0 }) }
    expect(await epochs({ monitor: 'score' })).toEqual([0, 1, 3])
    expect(await epochs({ monitor: 'score', mode: 'min' })).toEqual([0])
  })

  it('keeps one file over two fits when told the value to beat', async () => {
    const learner = lineLearner({ path: folder })
    const file = join(folder, 'models', 'best.safetensors')
    const first = new SaveModelCallback({ name: 'best' })
    await learner.fit(2, { lr: 0.1, callbacks: [new Canned([0.5, 0.4]), first] })
    const saved = readFileSync(file)

    const worse = new SaveModelCallback({ name: 'best', best: first.best })
    const weights = new Weights()
    await learner.fit(2, { lr: 0.1, callbacks: [new Canned([0.45, 0.4]), weights, worse] })
    expect(worse.savedEpochs).toEqual([])
    expect(worse.best).toBe(0.4)
    expect(readFileSync(file).equals(saved)).toBe(true)
    expect(weightOf(learner)).toBe(weights.values[1])

    const better = new SaveModelCallback({ name: 'best', best: first.best })
    await learner.fit(2, { lr: 0.1, callbacks: [new Canned([0.45, 0.3]), better] })
    expect(better.savedEpochs).toEqual([1])
    expect(() => new SaveModelCallback({ every: 'epoch', best: 1 })).toThrow(ConfigError)
    expect(() => new SaveModelCallback({ best: Number.NaN })).toThrow(ConfigError)
  })

  it('never takes a file from before for the best', async () => {
    const first = lineLearner({ path: folder })
    await first.fit(1, { lr: 0.1, callbacks: [new SaveModelCallback()] })
    const learner = lineLearner({ path: folder })
    const save = new SaveModelCallback()
    await learner.fit(2, { lr: 0.01, callbacks: [new Canned([Number.NaN, Number.NaN]), save] })
    expect(save.savedEpochs).toEqual([])
    expect(weightOf(learner)).not.toBe(weightOf(first))
  })

  it('can save each epoch under its own name', async () => {
    const learner = lineLearner({ path: folder })
    await learner.fit(3, { callbacks: [new SaveModelCallback({ every: 'epoch', name: 'step' })] })
    expect(readdirSync(join(folder, 'models')).sort()).toEqual([0, 1, 2].map((i) => `step_${i}.safetensors`))
  })

  it('leaves the best readable when the fit fails later', async () => {
    class Fail extends Callback {
      override onEpochBegin({ epoch }: { epoch: number }) {
        if (epoch === 2) throw new Error('out of luck')
      }
    }
    const learner = lineLearner({ path: folder })
    const weights = new Weights()
    const callbacks = [new SaveModelCallback({ name: 'best' }), weights, new Fail()]
    await expect(learner.fit(4, { lr: 0.1, callbacks })).rejects.toThrow('out of luck')
    const fresh = lineLearner({ path: folder })
    await fresh.load('best')
    expect(weightOf(fresh)).toBe(weights.values[1])
  })

  it('stays out of learning-rate sweeps', async () => {
    const learner = lineLearner({ path: folder, callbacks: [new SaveModelCallback()] })
    await learner.lrFind({ numIt: 12 })
    expect(existsSync(join(folder, 'models'))).toBe(false)
  })

  it('refuses what cannot be monitored or written', async () => {
    const fit = (options: object, learner = lineLearner({ path: folder })) =>
      learner.fit(1, { callbacks: [new SaveModelCallback(options)] })
    await expect(fit({ monitor: 'acuracy' })).rejects.toThrow(
      /SaveModelCallback monitors "acuracy", which this fit does not have; it has trainLoss, validLoss/,
    )
    await expect(fit({ monitor: 'validLoss' }, lineLearner({ validBatches: 0 }))).rejects.toThrow(
      /no validation data/,
    )
    expect(() => new SaveModelCallback({ every: 'batch' as 'epoch' })).toThrow(/got batch/)
    expect(() => new SaveModelCallback({ mode: 'up' as 'max' })).toThrow(/got up/)
    writeFileSync(join(folder, 'models'), '')
    await expect(fit({})).rejects.toThrow(/models/)
  })
})
