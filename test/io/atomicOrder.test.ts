import * as fs from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { CheckpointCallback } from '../../callbacks/CheckpointCallback.ts'
import { CheckpointError } from '../../src/engine/errors.ts'
import { manualSeed } from '../../src/engine/index.ts'
import { writeFileAtomic } from '../../src/io/atomicFile.ts'
import { saveWeights } from '../../src/io/index.ts'
import { Learner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { lineLearner, weightOf } from '../learner/support.ts'
import { temporaryFolder } from './temporaryFolder.ts'

/** What was asked of the file system, in order, as `call name`; and calls that are to fail, by that name. */
const { calls, failures } = vi.hoisted(() => ({
  calls: [] as string[],
  failures: new Map<string, string>(),
}))

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>()
  const kindOf = (path: unknown) => (/\.tmp$/.test(String(path)) ? 'temporary' : basename(String(path)))
  const note = (call: string, path: unknown) => {
    calls.push(`${call} ${kindOf(path)}`)
    const code = failures.get(call)
    if (code === undefined) return
    throw Object.assign(new Error(`${code}: made to fail, ${call} '${String(path)}'`), {
      code,
      syscall: call,
    })
  }
  const open: typeof real.open = async (path, ...rest) => {
    note('open', path)
    const handle = await real.open(path, ...rest)
    const { write, sync, close } = handle
    return Object.assign(handle, {
      write: async (...parts: unknown[]) => {
        note('write', path)
        return write.apply(handle, parts as never)
      },
      sync: async () => {
        note('sync', path)
        return sync.call(handle)
      },
      close: async () => {
        calls.push(`close ${kindOf(path)}`)
        return close.call(handle)
      },
    })
  }
  const rename: typeof real.rename = async (from, to) => {
    note('rename', to)
    return real.rename(from, to)
  }
  return { ...real, default: real, open, rename }
})

let folder: string
let file: string
beforeEach(async () => {
  folder = join(await temporaryFolder(), 'kept')
  await fs.mkdir(folder)
  file = join(folder, 'a.txt')
  await writeFileAtomic(file, 'old')
  calls.length = 0
})
afterEach(() => failures.clear())

const content = async () =>
  Object.fromEntries(
    await Promise.all(
      (await fs.readdir(folder)).map(async (name) => [name, await fs.readFile(join(folder, name), 'utf8')]),
    ),
  )

/** Places of calls in the order in which they came; each must have come. */
const order = (...wanted: string[]) => {
  const places = wanted.map((call) => calls.indexOf(call))
  expect(places, calls.join('\n')).not.toContain(-1)
  expect(places, calls.join('\n')).toEqual([...places].sort((a, b) => a - b))
}

describe('when the power fails', () => {
  test('what was renamed is on the disk: file synced, renamed, folder synced', async () => {
    await writeFileAtomic(file, ['new ', 'content'])
    expect(calls).toEqual([
      'open temporary',
      'write temporary',
      'write temporary',
      'sync temporary',
      'close temporary',
      'rename a.txt',
      'open kept',
      'sync kept',
      'close kept',
    ])
  })

  test.each(['w.safetensors', 'w.pth'])('so it is with %s', async (name) => {
    await saveWeights(new nn.Linear(2, 2), join(folder, name))
    order('write temporary', 'sync temporary', `rename ${name}`, 'open kept', 'sync kept')
    expect(calls.lastIndexOf('write temporary')).toBeLessThan(calls.indexOf('sync temporary'))
  })

  test('so it is with checkpoints, of which there is one at every moment', async () => {
    const learner = lineLearner({ path: folder })
    await learner.fit(1, { callbacks: [new CheckpointCallback({ keepLast: 2 })] })
    order('write temporary', 'sync temporary', 'rename last.safetensors', 'open models', 'sync models')
    expect(calls.filter((call) => call === 'rename last.safetensors')).toHaveLength(1)
  })
})

describe('what fails leaves the old content and nothing beside it', () => {
  test.each([
    ['rename', 'EXDEV', /a\.txt cannot be written: EXDEV/],
    ['rename', 'EACCES', /a\.txt cannot be written: no permission to write in .*kept/],
    ['rename', 'EPERM', /a\.txt cannot be written: no permission/],
    ['rename', 'EBUSY', /a\.txt cannot be written: EBUSY/],
    ['rename', 'EROFS', /a\.txt cannot be written: .*kept is on a read-only file system/],
    ['rename', 'EIO', /a\.txt cannot be written: EIO/],
    ['rename', 'ENOSPC', /a\.txt cannot be written: no space left in .*kept/],
    ['sync', 'EIO', /a\.txt cannot be written: EIO/],
    ['sync', 'EDQUOT', /no space left/],
    ['write', 'ENOSPC', /no space left in .*kept\. Nothing was changed/],
    ['write', 'EFBIG', /a\.txt cannot be written: EFBIG/],
    ['open', 'EMFILE', /a\.txt cannot be written: EMFILE/],
    ['open', 'EROFS', /read-only file system/],
    ['open', 'EACCES', /no permission to write in .*kept/],
  ])('%s: %s', async (call, code, message) => {
    failures.set(call, code)
    const error = await writeFileAtomic(file, ['new ', 'content']).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(CheckpointError)
    expect((error as Error).message).toMatch(message)
    failures.clear()
    expect(await content()).toEqual({ 'a.txt': 'old' })
    await writeFileAtomic(file, 'new')
    expect(await content()).toEqual({ 'a.txt': 'new' })
  })

  test('a checkpoint whose rename fails: the one before it is resumed', async () => {
    const epochs = (learner: Learner) => learner.fit(3, { lr: 0.1, callbacks: [new CheckpointCallback()] })
    const learnerHere = () => {
      manualSeed(1)
      return lineLearner({ path: folder })
    }
    const whole = learnerHere()
    await epochs(whole)
    const expected = weightOf(whole)
    await fs.rm(join(folder, 'models'), { recursive: true })

    const broken = learnerHere()
    const second = new CheckpointCallback()
    const saved = second.onEpochEnd.bind(second)
    second.onEpochEnd = async (context) => {
      if (context.epoch === 1) failures.set('rename', 'EBUSY')
      await saved(context)
    }
    await expect(broken.fit(3, { lr: 0.1, callbacks: [second] })).rejects.toThrow(
      /last.*cannot be written: EBUSY/,
    )
    failures.clear()
    expect(await fs.readdir(join(folder, 'models'))).toEqual(['last.safetensors'])
    const resumed = await Learner.resume('last', learnerHere())
    await epochs(resumed)
    expect(weightOf(resumed)).toEqual(expected)
  })
})

describe('where no file can be made', () => {
  test('a file stands where the folder should be', async () => {
    const place = join(folder, 'models')
    await fs.writeFile(place, 'a file')
    const learner = lineLearner({ path: folder })
    const losses = learner.recorder.losses.length
    await expect(learner.fit(1, { callbacks: [new CheckpointCallback()] })).rejects.toThrow(
      /the folder .*models cannot be made/,
    )
    expect(learner.recorder.losses).toHaveLength(losses) // before the training
    expect(await fs.readFile(place, 'utf8')).toBe('a file')
  })
})
