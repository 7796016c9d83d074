import { crc32Of } from './checksum.ts'

/** A member of an archive to be written, with bytes that are brought when its turn comes. */
export interface ZipMember {
  name: string
  data: Uint8Array | (() => Promise<Uint8Array>)
}

/** PyTorch maps tensors from the file into memory; it places their bytes at multiples of this. */
const ALIGNMENT = 64
const PADDING_TAG = 0x4246 // "FB", PyTorch's
const ZIP64_TAG = 1
const MAX_32 = 0xffffffff
const MAX_16 = 0xffff
/** 1980-01-01, the first date that the format knows: equal content gives equal files. */
const DATE = 0x0021

interface Written {
  name: Buffer
  size: number
  crc: number
  position: number
}

/**
 * A zip archive of uncompressed, aligned members, in pieces for {@link writeFileAtomic}. Archives and members beyond 4 GiB use
 * ZIP64 fields.
 */
export async function* zipArchive(members: Iterable<ZipMember>): AsyncGenerator<Uint8Array> {
  const written: Written[] = []
  let position = 0
  for (const member of members) {
    const data = typeof member.data === 'function' ? await member.data() : member.data
    const entry = { name: Buffer.from(member.name), size: data.byteLength, crc: crc32Of(data), position }
    const header = localHeader(entry)
    yield header
    yield data
    written.push(entry)
    position += header.byteLength + data.byteLength
  }
  const directory = Buffer.concat(written.map(directoryEntry))
  yield directory
  yield endRecords(written.length, directory.byteLength, position)
}

function localHeader(entry: Written): Buffer {
  const wide = entry.size >= MAX_32
  const zip64 = wide ? extraField(ZIP64_TAG, [entry.size, entry.size]) : Buffer.alloc(0)
  const start = entry.position + 30 + entry.name.byteLength + zip64.byteLength + 4
  const padding = Buffer.alloc(4 + ((ALIGNMENT - (start % ALIGNMENT)) % ALIGNMENT), 'Z')
  padding.writeUInt16LE(PADDING_TAG, 0)
  padding.writeUInt16LE(padding.byteLength - 4, 2)
  const header = Buffer.alloc(30)
  header.writeUInt32LE(0x04034b50, 0)
  header.writeUInt16LE(wide ? 45 : 20, 4)
  header.writeUInt16LE(DATE, 12)
  header.writeUInt32LE(entry.crc, 14)
  header.writeUInt32LE(wide ? MAX_32 : entry.size, 18)
  header.writeUInt32LE(wide ? MAX_32 : entry.size, 22)
  header.writeUInt16LE(entry.name.byteLength, 26)
  header.writeUInt16LE(zip64.byteLength + padding.byteLength, 28)
  return Buffer.concat([header, entry.name, zip64, padding])
}

function directoryEntry(entry: Written): Buffer {
  const wideSize = entry.size >= MAX_32
  const widePosition = entry.position >= MAX_32
  const values = [...(wideSize ? [entry.size, entry.size] : []), ...(widePosition ? [entry.position] : [])]
  const zip64 = values.length > 0 ? extraField(ZIP64_TAG, values) : Buffer.alloc(0)
  const header = Buffer.alloc(46)
  header.writeUInt32LE(0x02014b50, 0)
  header.writeUInt16LE(values.length > 0 ? 45 : 20, 6)
  header.writeUInt16LE(DATE, 14)
  header.writeUInt32LE(entry.crc, 16)
  header.writeUInt32LE(wideSize ? MAX_32 : entry.size, 20)
  header.writeUInt32LE(wideSize ? MAX_32 : entry.size, 24)
  header.writeUInt16LE(entry.name.byteLength, 28)
  header.writeUInt16LE(zip64.byteLength, 30)
  header.writeUInt32LE(widePosition ? MAX_32 : entry.position, 42)
  return Buffer.concat([header, entry.name, zip64])
}

function endRecords(count: number, length: number, position: number): Buffer {
  const wide = count >= MAX_16 || length >= MAX_32 || position >= MAX_32
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(wide ? MAX_16 : count, 8)
  end.writeUInt16LE(wide ? MAX_16 : count, 10)
  end.writeUInt32LE(wide ? MAX_32 : length, 12)
  end.writeUInt32LE(wide ? MAX_32 : position, 16)
  if (!wide) return end
  const record = Buffer.alloc(56)
  record.writeUInt32LE(0x06064b50, 0)
  record.writeBigUInt64LE(44n, 4)
  record.writeUInt16LE(45, 12)
  record.writeUInt16LE(45, 14)
  record.writeBigUInt64LE(BigInt(count), 24)
  record.writeBigUInt64LE(BigInt(count), 32)
  record.writeBigUInt64LE(BigInt(length), 40)
  record.writeBigUInt64LE(BigInt(position), 48)
  const locator = Buffer.alloc(20)
  locator.writeUInt32LE(0x07064b50, 0)
  locator.writeBigUInt64LE(BigInt(position + length), 8)
  locator.writeUInt32LE(1, 16)
  return Buffer.concat([record, locator, end])
}

function extraField(tag: number, values: readonly number[]): Buffer {
  const field = Buffer.alloc(4 + 8 * values.length)
  field.writeUInt16LE(tag, 0)
  field.writeUInt16LE(8 * values.length, 2)
  for (const [index, value] of values.entries()) field.writeBigUInt64LE(BigInt(value), 4 + 8 * index)
  return field
}
