import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CheckpointCallback, CSVLogger, JSONLogger, SaveModelCallback } from '../../callbacks/index.ts'
import { AnnealError } from '../../src/engine/errors.ts'
import { saveWeights } from '../../src/io/index.ts'
import type { Learner } from '../../src/learner/index.ts'
import { exportOnnx } from '../../src/onnx/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { fillUp, makeReadOnly, smallDisk } from './smallDisk.ts'
import { lineLearner, weightOf } from './support.ts'

/** What is asked of a Learner that writes. */
const writers: Record<string, (learner: Learner, path: string, round: number) => Promise<unknown>> = {
  'learner.save': (learner) => learner.save('best'),
  'learner.export': (learner, path) => learner.export(join(path, 'models', 'best')),
  'recorder.saveHistory': (learner, path) => learner.recorder.saveHistory(join(path, 'models', 'best.csv')),
  'saveWeights, safetensors': (learner, path) =>
    saveWeights(learner.model, join(path, 'models', 'best.safetensors')),
  'saveWeights, pth': (learner, path) => saveWeights(learner.model, join(path, 'models', 'best.pth')),
  exportOnnx: (learner, path) =>
    exportOnnx(learner.model, join(path, 'models', 'best.onnx'), { inputShape: [1, 1] }),
  'figure.save': async (learner, path) => {
    if (learner.recorder.losses.length === 0) await learner.fit(1)
    await learner.recorder.plotLosses().save(join(path, 'models', 'losses.png'))
  },
  SaveModelCallback: (learner) => learner.fit(1, { callbacks: [new SaveModelCallback({ name: 'best' })] }),
  CheckpointCallback: (learner) =>
    learner.fit(2, { callbacks: [new CheckpointCallback({ name: 'best', every: 2 })] }),
  // Each fit has a log of its own: writing one anew would first make room.
  CSVLogger: (learner, _, round) =>
    learner.fit(1, { callbacks: [new CSVLogger({ filename: `models/log-${round}` })] }),
  JSONLogger: (learner, _, round) =>
    learner.fit(1, { callbacks: [new JSONLogger({ filename: `models/log-${round}` })] }),
}

/** Each file of the folder with its content. */
const contentsOf = (folder: string) =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'hex')]))

describe.each(Object.entries(writers))('%s', (_, write) => {
  it('on a full disk says so, leaves what was there, and the learner can go on', async ({ skip }) => {
    const path = smallDisk(await temporaryFolder())
    if (path === null) return skip('no rights to mount a file system')
    mkdirSync(join(path, 'models'))
    const learner = lineLearner({ path, batches: 2 })
    await write(learner, path, 1)
    const models = join(path, 'models')
    const before = contentsOf(models)
    expect(Object.keys(before).length).toBeGreaterThan(0)
    fillUp(path)
    const failure = await write(learner, path, 2).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(AnnealError)
    expect((failure as Error).message).toMatch(/no space left|ENOSPC/)
    expect((failure as Error).message).toContain(models)
    expect(contentsOf(models)).toMatchObject(before)
    const weight = weightOf(learner)
    await learner.fit(1, { lr: 0.1 })
    expect(weightOf(learner)).not.toBe(weight)
  })

  it('where nothing can be written says so, and the learner can go on', async ({ skip }) => {
    const path = smallDisk(await temporaryFolder())
    if (path === null) return skip('no rights to mount a file system')
    mkdirSync(join(path, 'models'))
    const learner = lineLearner({ path, batches: 2 })
    await write(learner, path, 1)
    const before = contentsOf(join(path, 'models'))
    makeReadOnly(path)
    const batches = learner.recorder.losses.length
    const failure = await write(learner, path, 2).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(AnnealError)
    expect((failure as Error).message).toMatch(/read-only|EROFS/)
    expect(contentsOf(join(path, 'models'))).toEqual(before)
    // It is found out before the training.
    expect(learner.recorder.losses).toHaveLength(batches)
    await learner.fit(1)
  })
})
