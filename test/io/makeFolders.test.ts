import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { AppendFile } from '../../src/io/AppendFile.ts'
import { makeFolders } from '../../src/io/makeFolders.ts'
import { checkWritable } from '../../src/learner/learnerFile.ts'
import { temporaryFolder } from './temporaryFolder.ts'

describe('makeFolders', () => {
  test('makes what is missing, several at once too', async () => {
    const folder = await temporaryFolder()
    await Promise.all([1, 2, 3].map(() => makeFolders(join(folder, 'a/b/c'))))
    await makeFolders(join(folder, 'a'))
    expect(await readdir(folder, { recursive: true })).toEqual(['a', join('a', 'b'), join('a', 'b', 'c')])
  })

  test('says what is in the way', async () => {
    const file = join(await temporaryFolder(), 'file')
    await writeFile(file, '')
    await expect(makeFolders(file)).rejects.toMatchObject({ code: 'EEXIST' })
    await expect(makeFolders(join(file, 'a'))).rejects.toMatchObject({ code: 'ENOTDIR' })
  })

  test.runIf(process.platform === 'linux')('ends where nothing can be made', async () => {
    await expect(makeFolders('/proc/none/a')).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(checkWritable('/proc/none/a')).rejects.toThrow('the folder /proc/none/a cannot be made')
    const opened = AppendFile.open('CSVLogger', '/proc/none/a/log.csv', { keep: false })
    await expect(opened).rejects.toThrow('/proc/none/a/log.csv')
  })
})
