import { writeFile } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { type FileSource, type Steps, SyncFile } from '../../src/io/fileSource.ts'
import { checkZipEntry, locateZipEntry, readZipDirectory } from '../../src/io/zip.ts'
import { temporaryFolder } from './temporaryFolder.ts'

interface Member {
  name: string
  data: string
  /** What the directory claims instead of the truth. */
  claim?: { size?: number; position?: number; method?: number; flags?: number }
}

/** A zip archive by the letter of the format; with `zip64`, all sizes and positions stand in 64-bit fields. */
function archive(members: Member[], { zip64 = false, comment = '' } = {}): Buffer {
  const locals: Buffer[] = []
  const directory: Buffer[] = []
  let position = 0
  for (const { name, data, claim = {} } of members) {
    const size = claim.size ?? data.length
    const at = claim.position ?? position
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(name.length, 26)
    local.writeUInt16LE(4, 28)
    locals.push(local, Buffer.from(name), Buffer.from([0x46, 0x42, 0, 0]), Buffer.from(data))
    const header = Buffer.alloc(46)
    header.writeUInt32LE(0x02014b50, 0)
    header.writeUInt16LE(claim.flags ?? 0, 8)
    header.writeUInt16LE(claim.method ?? 0, 10)
    header.writeUInt32LE(crc32(data), 16)
    header.writeUInt32LE(zip64 ? 0xffffffff : size, 20)
    header.writeUInt32LE(zip64 ? 0xffffffff : size, 24)
    header.writeUInt16LE(name.length, 28)
    header.writeUInt16LE(zip64 ? 34 : 0, 30)
    header.writeUInt32LE(zip64 ? 0xffffffff : at, 42)
    const extra = Buffer.alloc(zip64 ? 34 : 0)
    if (zip64) {
      // An unrelated field first, then the ZIP64 one: size, stored size, position.
      extra.writeUInt16LE(0x7777, 0)
      extra.writeUInt16LE(2, 2)
      extra.writeUInt16LE(1, 6)
      extra.writeUInt16LE(24, 8)
      for (const [index, value] of [size, size, at].entries())
        extra.writeBigUInt64LE(BigInt(value), 10 + 8 * index)
    }
    directory.push(header, Buffer.from(name), extra)
    position += 30 + name.length + 4 + data.length
  }
  const start = position
  const length = Buffer.concat(directory).byteLength
  const tail: Buffer[] = []
  if (zip64) {
    const record = Buffer.alloc(56)
    record.writeUInt32LE(0x06064b50, 0)
    record.writeBigUInt64LE(BigInt(members.length), 32)
    record.writeBigUInt64LE(BigInt(length), 40)
    record.writeBigUInt64LE(BigInt(start), 48)
    const locator = Buffer.alloc(20)
    locator.writeUInt32LE(0x07064b50, 0)
    locator.writeBigUInt64LE(BigInt(start + length), 8)
    tail.push(record, locator)
  }
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(zip64 ? 0xffff : members.length, 10)
  end.writeUInt32LE(zip64 ? 0xffffffff : length, 12)
  end.writeUInt32LE(zip64 ? 0xffffffff : start, 16)
  end.writeUInt16LE(comment.length, 20)
  return Buffer.concat([...locals, ...directory, ...tail, end, Buffer.from(comment)])
}

function* readEntries(source: FileSource): Steps<Record<string, string>> {
  const result: Record<string, string> = {}
  for (const entry of (yield* readZipDirectory(source)).values()) {
    yield* checkZipEntry(source, entry)
    const position = yield* locateZipEntry(source, entry)
    result[entry.name] = Buffer.from(yield* source.read(position, entry.size, entry.name)).toString()
  }
  return result
}

async function readAll(bytes: Buffer): Promise<Record<string, string>> {
  const file = `${await temporaryFolder()}/made.zip`
  await writeFile(file, bytes)
  return SyncFile.with(file, readEntries)
}

const two: Member[] = [
  { name: 'x/one', data: 'first' },
  { name: 'x/two', data: 'the second' },
]

describe('zip archives', () => {
  test.each([{}, { zip64: true }, { comment: 'a comment at the end' }, { zip64: true, comment: 'x' }])(
    '%o',
    async (options) => {
      expect(await readAll(archive(two, options))).toEqual({ 'x/one': 'first', 'x/two': 'the second' })
    },
  )

  test.each<[string, Member[], RegExp]>([
    [
      'a size beyond the file',
      [{ name: 'a', data: 'abc', claim: { size: 1000 } }],
      /"a" claims 1000 bytes, more than there are/,
    ],
    [
      'a position beyond the file',
      [{ name: 'a', data: 'abc', claim: { position: 5000 } }],
      /cut short or damaged/,
    ],
    [
      'a position where no entry is',
      [{ name: 'a', data: 'abc', claim: { position: 2 } }],
      /not where the zip directory says/,
    ],
    [
      'entries that overlap',
      [{ name: 'a', data: 'abc', claim: { size: 20 } }, two[0]!],
      /"a" and "x\/one" overlap/,
    ],
    ['two entries in one place', [two[0]!, { ...two[1]!, claim: { position: 0 } }], /overlap/],
    ['a name that stands twice', [two[0]!, two[0]!], /names "x\/one" twice/],
    ['an encrypted entry', [{ name: 'a', data: 'abc', claim: { flags: 1 } }], /encrypted/],
    ['a compressed entry', [{ name: 'a', data: 'abc', claim: { method: 8 } }], /compressed \(method 8\)/],
    [
      'a ZIP64 size beyond counting',
      [{ name: 'a', data: 'abc', claim: { size: 2 ** 53 } }],
      /impossible|more than/,
    ],
  ])('%s is refused', async (_, members, message) => {
    await expect(readAll(archive(members, { zip64: true }))).rejects.toThrow(message)
  })

  test('a wrong checksum is noticed', async () => {
    const bytes = archive(two)
    bytes[bytes.indexOf('second')] = 0x53
    await expect(readAll(bytes)).rejects.toThrow(/"x\/two" has checksum/)
  })

  test('an archive without its end says that it was cut short', async () => {
    await expect(readAll(archive(two).subarray(0, -30))).rejects.toThrow(/cut short/)
  })

  test('a directory that claims more entries than it has', async () => {
    const bytes = archive(two)
    bytes.writeUInt16LE(3, bytes.byteLength - 12)
    await expect(readAll(bytes)).rejects.toThrow(/middle of an entry/)
  })

  test('positions are those of the data', async () => {
    const file = `${await temporaryFolder()}/made.zip`
    await writeFile(file, archive(two))
    const places = SyncFile.with(file, function* (source) {
      const found: number[][] = []
      for (const entry of (yield* readZipDirectory(source)).values())
        found.push([yield* locateZipEntry(source, entry), entry.size])
      return found
    })
    expect(places).toEqual([
      [39, 5],
      [83, 10],
    ])
  })
})
