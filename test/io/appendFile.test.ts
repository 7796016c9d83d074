import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/engine/errors.ts'
import { AppendFile } from '../../src/io/AppendFile.ts'
import { temporaryFolder } from './temporaryFolder.ts'

describe('AppendFile', () => {
  it('grows, goes on or begins anew, and forgets its end', async () => {
    const path = join(await temporaryFolder(), 'below', 'log.txt')
    const first = await AppendFile.open('Test', path, { keep: false })
    expect(await first.firstLine()).toBeUndefined()
    await first.append('one\n')
    await first.append(Buffer.from('zwö\n'), { sync: false })
    expect(first.bytes).toBe(9)
    await first.close()
    await first.close()

    const second = await AppendFile.open('Test', path, { keep: true })
    expect([second.bytes, await second.firstLine()]).toEqual([9, 'one'])
    await second.append('three\n')
    await second.truncate(100)
    await second.truncate(4)
    await second.append('two\n')
    await second.close()
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n')

    await (await AppendFile.open('Test', path, { keep: false })).close()
    expect(readFileSync(path, 'utf8')).toBe('')
  })

  it('says which file it cannot open, and why', async () => {
    const folder = await temporaryFolder()
    writeFileSync(join(folder, 'file'), '')
    const open = AppendFile.open('Test', join(folder, 'file', 'log'), { keep: false })
    await expect(open).rejects.toThrow(ConfigError)
    await expect(open).rejects.toThrow(/Test cannot write .*log/)
  })

  it.skipIf(!existsSync('/dev/full'))('says so when the disk is full, and lets go of the file', async () => {
    const file = await AppendFile.open('Test', '/dev/full', { keep: false })
    await expect(file.append('one\n')).rejects.toThrow(
      /Test cannot write \/dev\/full: ENOSPC.*free some space/,
    )
    await expect(file.append('two\n')).rejects.toThrow(/Test cannot write/)
    await file.close()
  })
})
