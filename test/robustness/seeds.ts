import { crc32, gzipSync } from 'node:zlib'
import { jsonText, mutate, mutateJson } from './mutate.ts'
import type { RandomNumbers } from './random.ts'

/** Spoils a file within a container that stays valid. */
export type Variant = (bytes: Buffer, random: RandomNumbers) => Buffer

/** The header of a safetensors file, and with it of a checkpoint: its JSON, its length and its checksum stay in order. */
export const headerMutation: Variant = (bytes, random) => {
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, unknown>
  const metadata = header.__metadata__ as Record<string, string> | undefined
  const learner = metadata?.['anneal.learner']
  let text: string
  if (metadata && learner !== undefined && random() < 0.8) {
    let inner: unknown = JSON.parse(learner)
    for (let left = 1 + Math.floor(random() * 2); left > 0; left--) inner = mutateJson(inner, random)
    // A file without a checksum is read too: those of others have none.
    const { 'anneal.crc32': _, ...others } = metadata
    text = jsonText({ ...header, __metadata__: { ...others, 'anneal.learner': jsonText(inner) } })
  } else {
    text = jsonText(mutateJson(header, random))
  }
  const json = Buffer.from(text)
  const head = Buffer.alloc(8)
  head.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([head, json, bytes.subarray(8 + length)])
}

/** The pickle of a zip archive, with checksums and directory that agree with it. */
export const picklesInZips: Variant = (bytes, random) => {
  const entries = entriesOf(bytes)
  const pickle = entries.find(({ name }) => name.endsWith('data.pkl'))!
  pickle.data = mutate(pickle.data, random, pickle.data)
  return zipOf(entries)
}

interface Entry {
  name: string
  data: Buffer
}

function entriesOf(bytes: Buffer): Entry[] {
  const end = bytes.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'))
  const entries: Entry[] = []
  let at = bytes.readUInt32LE(end + 16)
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left--) {
    const size = bytes.readUInt32LE(at + 24)
    const nameLength = bytes.readUInt16LE(at + 28)
    const local = bytes.readUInt32LE(at + 42)
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28)
    entries.push({
      name: bytes.toString('utf8', at + 46, at + 46 + nameLength),
      data: bytes.subarray(start, start + size),
    })
    at += 46 + nameLength + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32)
  }
  return entries
}

/** An archive of entries that are stored as they are. */
export function zipOf(entries: readonly Entry[]): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let position = 0
  for (const { name, data } of entries) {
    const label = Buffer.from(name)
    // From the signature on: version, flags, method, time, date; then checksum, sizes and lengths, alike in both headers.
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt32LE(crc32(data), 10)
    common.writeUInt32LE(data.length, 14)
    common.writeUInt32LE(data.length, 18)
    common.writeUInt16LE(label.length, 22)
    const where = Buffer.alloc(14)
    where.writeUInt32LE(position, 10)
    parts.push(Buffer.from('PK\x03\x04', 'latin1'), common, label, data)
    directory.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, where, label)
    position += 30 + label.length + data.length
  }
  const listing = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(entries.length, 8)
  end.writeUInt16LE(entries.length, 10)
  end.writeUInt32LE(listing.length, 12)
  end.writeUInt32LE(position, 16)
  return Buffer.concat([...parts, listing, end])
}

export function csvSeeds(): Buffer[] {
  return [
    'name,label,x\na.jpg,cat,1.5\nb.jpg,"dog, big",-2\n"c ""d"".jpg",cat,\n',
    '\ufeffa;b;c\r\n1;2;3\r\n4;5;6\r\n',
    '__proto__,constructor,toString\n1,2,3\n__proto__,x,y\n',
  ].map((text) => Buffer.from(text))
}

export function idxSeeds(): Buffer[] {
  const pictures = Buffer.concat([
    Buffer.from([0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]),
    Buffer.alloc(60, 7),
  ])
  const doubles = Buffer.concat([Buffer.from([0, 0, 14, 1, 0, 0, 0, 6]), Buffer.alloc(48, 1)])
  return [pictures, doubles, gzipSync(pictures), gzipSync(doubles)]
}
