import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, readlink, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { describe, expect, test } from 'vitest'
import { CSVLogger } from '../../callbacks/CSVLogger.ts'
import { DataBunch, TensorDataset } from '../../src/data/index.ts'
import { CheckpointError, DataError } from '../../src/engine/errors.ts'
import { randn } from '../../src/engine/index.ts'
import { writeFileAtomic } from '../../src/io/atomicFile.ts'
import { saveWeights } from '../../src/io/index.ts'
import { Learner } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { exportOnnx } from '../../src/onnx/index.ts'
import { temporaryFolder } from './temporaryFolder.ts'

describe('writeFileAtomic', () => {
  test('writes text, bytes and pieces; replaces what was there', async () => {
    const file = `${await temporaryFolder()}/a.txt`
    await writeFileAtomic(file, 'one')
    expect(await readFile(file, 'utf8')).toBe('one')
    await writeFileAtomic(file, Uint8Array.from([116, 119, 111]))
    expect(await readFile(file, 'utf8')).toBe('two')
    await writeFileAtomic(file, ['th', Buffer.from('ree')])
    expect(await readFile(file, 'utf8')).toBe('three')
    await writeFileAtomic(
      file,
      (async function* () {
        yield 'fo'
        yield 'ur'
      })(),
    )
    expect(await readFile(file, 'utf8')).toBe('four')
  })

  test('when the content fails half way the old file stands and no temporary file is left', async () => {
    const folder = await temporaryFolder()
    const file = `${folder}/a.txt`
    await writeFileAtomic(file, 'old')
    const failing = function* () {
      yield 'new'
      throw new RangeError('out of ideas')
    }
    await expect(writeFileAtomic(file, failing())).rejects.toThrow(RangeError)
    expect(await readFile(file, 'utf8')).toBe('old')
    expect(await readdir(folder)).toEqual(['a.txt'])
  })

  test('the old content stands until the last byte is written', async () => {
    const file = `${await temporaryFolder()}/a.txt`
    await writeFileAtomic(file, 'old')
    const seen: string[] = []
    await writeFileAtomic(
      file,
      (async function* () {
        yield 'new '
        seen.push(await readFile(file, 'utf8'))
        yield 'content'
      })(),
    )
    expect(seen).toEqual(['old'])
    expect(await readFile(file, 'utf8')).toBe('new content')
  })

  test('errors name the file and what to do', async () => {
    const folder = await temporaryFolder()
    await mkdir(`${folder}/inner`)
    await writeFile(`${folder}/plain`, '')
    await expect(writeFileAtomic(`${folder}/plain/a.txt`, 'x')).rejects.toThrow(
      /plain\/a\.txt cannot be written: .*plain is no folder/,
    )
    await expect(writeFileAtomic(`${folder}/plain/b/a.txt`, 'x')).rejects.toThrow(
      /plain\/b\/a\.txt cannot be written: .*plain\/b is no folder, or is in something that is none/,
    )
    await expect(writeFileAtomic('/proc/none/a.txt', 'x')).rejects.toThrow(
      /\/proc\/none\/a\.txt cannot be written: its folder \/proc\/none cannot be made/,
    )
    await expect(writeFileAtomic(`${folder}/inner`, 'x')).rejects.toThrow(/is a folder/)
    await expect(writeFileAtomic('/dev/null', 'x')).rejects.toThrow(/no regular file/)
    await expect(writeFileAtomic(`${folder}/plain/a.txt`, 'x')).rejects.toThrow(CheckpointError)
    for (const file of [`${folder}/plain/a.txt`, '/proc/none/a.txt']) {
      await expect(writeFileAtomic(file, 'x', { error: DataError })).rejects.toThrow(DataError)
    }
  })

  test('makes missing folders, those of every writer', async () => {
    const folder = `${await temporaryFolder()}/a/b`
    await writeFileAtomic(`${folder}/c/d.txt`, 'x')
    expect(await readFile(`${folder}/c/d.txt`, 'utf8')).toBe('x')
    const model = new nn.Linear(2, 1)
    await saveWeights(model, `${folder}/safetensors/w.safetensors`)
    await saveWeights(model, `${folder}/pth/w.pth`)
    await exportOnnx(model, `${folder}/onnx/m.onnx`, { inputShape: [1, 2] })
    const learner = new Learner(
      DataBunch.create(new TensorDataset(randn([4, 2]), randn([4, 1])), null, { batchSize: 2 }),
      model,
      { lossFunction: new nn.MSELoss(), path: `${folder}/learner`, silent: true },
    )
    await learner.fit(1, { callbacks: [new CSVLogger({ filename: `${folder}/csv/log.csv` })] })
    await learner.save('one')
    await learner.export(`${folder}/export/two`)
    await learner.exportOnnx(`${folder}/onnx2/m.onnx`)
    await learner.recorder.plotLosses().save(`${folder}/figure/losses.svg`)
    await learner.recorder.saveHistory(`${folder}/history/log.csv`)
    const files = (await readdir(folder, { recursive: true })).filter((name) => /\.\w+$/.test(name))
    expect(files.sort()).toEqual([
      'c/d.txt',
      'csv/log.csv',
      'export/two.safetensors',
      'figure/losses.svg',
      'history/log.csv',
      'learner/models/one.safetensors',
      'onnx/m.onnx',
      'onnx2/m.onnx',
      'pth/w.pth',
      'safetensors/w.safetensors',
    ])
  })

  test('follows a symbolic link and keeps the mode', async () => {
    const folder = await temporaryFolder()
    await writeFile(`${folder}/real`, 'old')
    await chmod(`${folder}/real`, 0o640)
    await symlink(`${folder}/real`, `${folder}/link`)
    await writeFileAtomic(`${folder}/link`, 'new')
    expect(await readFile(`${folder}/real`, 'utf8')).toBe('new')
    expect((await stat(`${folder}/real`)).mode & 0o777).toBe(0o640)
  })

  test('keeps the mode even where the umask would not give it, and leaves new files to the umask', async () => {
    const folder = await temporaryFolder()
    const before = process.umask(0o027)
    try {
      for (const mode of [0o666, 0o777, 0o600]) {
        await writeFile(`${folder}/shared`, 'old')
        await chmod(`${folder}/shared`, mode)
        await writeFileAtomic(`${folder}/shared`, 'new')
        expect((await stat(`${folder}/shared`)).mode & 0o777).toBe(mode)
      }
      await writeFileAtomic(`${folder}/made`, 'new')
      expect((await stat(`${folder}/made`)).mode & 0o777).toBe(0o640)
    } finally {
      process.umask(before)
    }
  })

  test('a link to where nothing is yet stays a link', async () => {
    const folder = await temporaryFolder()
    await mkdir(`${folder}/disk/inner`, { recursive: true })
    await symlink(`${folder}/disk/inner`, `${folder}/folder`)
    // Through a folder that is a link, and another link.
    await symlink('../other', `${folder}/disk/inner/link`)
    await symlink('./real', `${folder}/disk/other`)
    await writeFileAtomic(`${folder}/folder/link`, 'new')
    expect(await readFile(`${folder}/disk/real`, 'utf8')).toBe('new')
    expect(await readlink(`${folder}/folder/link`)).toBe('../other')
    expect(await readlink(`${folder}/disk/other`)).toBe('./real')
    await symlink('none/real', `${folder}/lost`)
    await expect(writeFileAtomic(`${folder}/lost`, 'x')).rejects.toThrow(/the folder .*none does not exist/)
  })

  test('writes of one file at the same time leave one whole content', async () => {
    const folder = await temporaryFolder()
    const contents = Array.from({ length: 8 }, (_, i) => String(i).repeat(100_000))
    await Promise.all(contents.map((content) => writeFileAtomic(`${folder}/a`, content)))
    expect(contents).toContain(await readFile(`${folder}/a`, 'utf8'))
    expect(await readdir(folder)).toEqual(['a'])
  })

  test('what a killed process left is removed by the next write, what a living one is writing is not', async () => {
    const folder = await temporaryFolder()
    const child = spawn(process.execPath, ['-e', ''])
    await once(child, 'exit')
    const host = hostname()
      .replace(/[^A-Za-z0-9]+/g, '_')
      .slice(0, 40)
    const old = new Date(Date.now() - 3_600_000)
    const dead = `.a.${host}-${child.pid}-0123456789ab.tmp`
    const alive = `.a.${host}-${process.pid}-0123456789ab.tmp`
    const elsewhere = `.a.otherhost-${child.pid}-0123456789ab.tmp`
    for (const name of [dead, alive, elsewhere]) {
      await writeFile(`${folder}/${name}`, 'half')
      await utimes(`${folder}/${name}`, old, old)
    }
    await writeFileAtomic(`${folder}/a`, 'x')
    expect((await readdir(folder)).sort()).toEqual(['a', alive, elsewhere].sort())
  })
})
