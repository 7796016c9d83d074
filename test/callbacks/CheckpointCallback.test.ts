import { cpSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CheckpointCallback } from '../../callbacks/index.ts'
import { CheckpointError } from '../../src/engine/errors.ts'
import { Callback, Learner, metricName } from '../../src/learner/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { Canned, Fail, lineLearner, weightOf } from '../learner/support.ts'

/** Checkpoints of a fit with these validation losses; the folder and what is in it. */
async function written(options: ConstructorParameters<typeof CheckpointCallback>[0], values: number[]) {
  const path = await temporaryFolder()
  const checkpoint = new CheckpointCallback(options)
  const learner = lineLearner({ path, batches: 5, validBatches: 1 })
  await learner.fit(values.length, { lr: 0.01, callbacks: [new Canned(values), checkpoint] })
  return { checkpoint, learner, path, files: readdirSync(join(path, 'models')).sort() }
}

const files = (...names: string[]) => names.map((name) => `${name}.safetensors`).sort()

describe('CheckpointCallback', () => {
  it('keeps the latest, and as many before it as asked', async () => {
    expect((await written({}, [1, 1, 1])).files).toEqual(files('last'))
    const { files: kept, path } = await written({ every: 2, keepLast: 3, name: 'run' }, [1, 1])
    expect(kept).toEqual(files('run', 'run-1', 'run-2'))
    const weightIn = async (name: string) => {
      const learner = lineLearner({ path })
      await learner.load(name)
      return weightOf(learner)
    }
    // y = 3x from w = 1: later checkpoints are nearer. They are of batches 10 (the end; also a multiple of 2), 10 and 8.
    const [end, before, earlier] = [await weightIn('run'), await weightIn('run-1'), await weightIn('run-2')]
    expect(end).toBe(before)
    expect(end).toBeGreaterThan(earlier)
  })

  it('keeps the best epochs', async () => {
    const values = [0.9, 0.4, 0.7, 0.3, 0.8]
    const one = await written({ monitor: 'validLoss' }, values)
    expect(one.files).toEqual(files('last', 'last-epoch-3'))
    const two = await written({ monitor: 'validLoss', topK: 2, mode: 'max' }, values)
    expect(two.files).toEqual(files('last', 'last-epoch-0', 'last-epoch-4'))
    expect(two.checkpoint.best).toMatchObject([
      { epoch: 0, value: 0.9 },
      { epoch: 4, value: 0.8 },
    ])
    const resumed = await Learner.resume(
      one.checkpoint.best[0]!.file,
      lineLearner({ path: one.path, validBatches: 1 }),
    )
    await resumed.fit(5, {
      lr: 0.01,
      callbacks: [new Canned(values), new CheckpointCallback({ monitor: 'validLoss' })],
    })
    expect(resumed.recorder.epochs.map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3, 4])
    expect(weightOf(resumed)).toBe(weightOf(one.learner))
  })

  it('knows the best epochs where the folder has been moved to', async () => {
    const folder = await temporaryFolder()
    const moved = await temporaryFolder()
    const run = (learner: Learner, ...extra: Callback[]) => {
      const best = new CheckpointCallback({ monitor: 'validLoss', topK: 2 })
      return learner.fit(4, { callbacks: [new Canned([3, 2, 1, 4]), best, ...extra] }).then(() => best)
    }
    await expect(run(lineLearner({ path: folder }), new Fail(17))).rejects.toThrow()
    cpSync(folder, moved, { recursive: true })
    const learner = await Learner.resume('last', lineLearner({ path: moved }))
    const best = await run(learner)
    expect(best.best.map(({ file }) => file)).toEqual(
      [2, 1].map((epoch) => join(moved, 'models', `last-epoch-${epoch}.safetensors`)),
    )
    expect(readdirSync(join(moved, 'models')).sort()).toEqual([
      'last-epoch-1.safetensors',
      'last-epoch-2.safetensors',
      'last.safetensors',
    ])
    expect(readdirSync(join(folder, 'models'))).toContain('last-epoch-0.safetensors')
  })

  it('refuses impossible options and unknown monitors', async () => {
    expect(() => new CheckpointCallback({ every: 0 })).toThrow(
      /every must be a number of batches, 'epoch' or 'interrupt', got 0/,
    )
    expect(() => new CheckpointCallback({ keepLast: 0 })).toThrow(/keepLast/)
    expect(() => new CheckpointCallback({ topK: 2 })).toThrow(/topK needs a monitor/)
    expect(() => new CheckpointCallback({ evry: 2 } as object)).toThrow(
      /unknown option evry; the options are every/,
    )
    await expect(written({ monitor: metricName('acuracy') }, [1])).rejects.toThrow(/has trainLoss, validLoss/)
  })

  it('finds a folder that cannot be written at the beginning', async () => {
    const path = await temporaryFolder()
    writeFileSync(join(path, 'models'), 'a file in the way')
    const learner = lineLearner({ path })
    const failure = await learner
      .fit(1, { callbacks: [new CheckpointCallback()] })
      .catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(CheckpointError)
    expect((failure as Error).message).toMatch(/the folder .*models cannot be made/)
    expect(learner.recorder.losses).toEqual([])
    await learner.fit(1)
  })

  it('runs after all others, and nobody else may take a checkpoint before others have heard', async () => {
    const order: number[] = []
    class Early extends Callback {
      override async onBatchEnd(context: { learner: Learner }) {
        order.push(this.order)
        await context.learner.checkpoint('early')
      }
    }
    const learner = lineLearner({ path: await temporaryFolder() })
    await expect(learner.fit(1, { callbacks: [new Early()] })).rejects.toThrow(/after all others/)
    expect(order).toEqual([0])
  })
})
