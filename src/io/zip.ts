import { crc32 } from 'node:zlib'
import { CheckpointError } from '../engine/errors.ts'
import type { FileSource, Steps } from './fileSource.ts'

/** A member of an archive, `size` bytes in the file; {@link locateZipEntry} says where. */
export interface ZipEntry {
  name: string
  size: number
  crc: number
  /** How it was compressed: 0 is not at all, and only such entries can be read. */
  method: number
  localHeader: number
  /** Where the next entry begins, or the directory: its bytes end before that. */
  end: number
}

const END_OF_DIRECTORY = 0x06054b50
const ZIP64_LOCATOR = 0x07064b50
const ZIP64_END_OF_DIRECTORY = 0x06064b50
const DIRECTORY_ENTRY = 0x02014b50
const LOCAL_HEADER = 0x04034b50

/** The end record is followed by a comment of at most 65,535 bytes. */
const MAX_END_LENGTH = 22 + 0xffff
const MAX_DIRECTORY_BYTES = 64 * 1024 * 1024
const CHECK_CHUNK = 4 * 1024 * 1024

/** Whether the first bytes of a file are those of a zip archive. */
export function looksLikeZip(head: Uint8Array): boolean {
  return head[0] === 0x50 && head[1] === 0x4b && head[2] === 0x03 && head[3] === 0x04
}

/**
 * Reads the directory of a zip archive, ZIP64 included. Sizes and positions are checked to lie inside the file and not to
 * overlap; encrypted archives are refused. Nothing else is read: an archive may have many entries that nobody asks for.
 *
 * @throws CheckpointError
 */
export function* readZipDirectory(source: FileSource): Steps<Map<string, ZipEntry>> {
  const { file } = source
  const directory = yield* locateDirectory(source)
  if (directory.length > MAX_DIRECTORY_BYTES) {
    throw new CheckpointError(
      `${file} has a zip directory of ${directory.length} bytes; at most ${MAX_DIRECTORY_BYTES} are accepted`,
    )
  }
  const bytes = yield* source.read(directory.position, directory.length, 'the zip directory')
  const headers = parseDirectory(bytes, directory.count, file)
  const entries = new Map<string, ZipEntry>()
  for (const header of headers) {
    if (entries.has(header.name)) {
      throw new CheckpointError(`${file} is damaged: its zip directory names "${header.name}" twice`)
    }
    entries.set(header.name, { ...header, end: directory.position })
  }
  checkOverlap([...entries.values()], file)
  return entries
}

/**
 * Reads an entry through once and compares its checksum, unless that is 0: PyTorch was told then not to compute any
 * (`torch.serialization.set_crc32_options(False)`), and says of such files, too, that they load. `torch.save` stores entries without compression; compressed ones
 * are refused, so that a small file cannot unfold into a large one.
 */
export function* checkZipEntry(source: FileSource, entry: ZipEntry): Steps<void> {
  if (entry.method !== 0) {
    throw new CheckpointError(
      `${source.file}: zip entry "${entry.name}" is compressed (method ${entry.method}). torch.save stores without ` +
        'compression: was the file zipped anew? Save it again with torch.save',
    )
  }
  const position = yield* locateZipEntry(source, entry)
  if (entry.crc === 0) return
  const buffer = new Uint8Array(Math.min(CHECK_CHUNK, entry.size))
  let crc = 0
  for (let done = 0; done < entry.size; done += buffer.byteLength) {
    const bytes = buffer.subarray(0, Math.min(buffer.byteLength, entry.size - done))
    yield { file: source.file, bytes, position: position + done, what: `"${entry.name}"` }
    crc = crc32(bytes, crc)
  }
  if (crc !== entry.crc) {
    throw new CheckpointError(
      `${source.file} is damaged: "${entry.name}" has checksum ${hex(crc)} instead of ${hex(entry.crc)}. ` +
        'Copy or download it again',
    )
  }
}

type DirectoryHeader = Omit<ZipEntry, 'end'>

function* locateDirectory(source: FileSource): Steps<{ position: number; length: number; count: number }> {
  const { file, size } = source
  const tailStart = Math.max(0, size - MAX_END_LENGTH)
  const tail = yield* source.read(tailStart, size - tailStart, 'the end of the zip archive')
  const view = new DataView(tail.buffer)
  let end = tail.byteLength - 22
  while (end >= 0 && view.getUint32(end, true) !== END_OF_DIRECTORY) end--
  if (end < 0) {
    throw new CheckpointError(
      `${file} is a zip archive without its directory: it was cut short. Copy or download it again`,
    )
  }
  const disk = view.getUint16(end + 4, true)
  if (disk !== 0 && disk !== 0xffff) throw new CheckpointError(`${file} is one part of a split zip archive`)
  const plain = {
    count: view.getUint16(end + 10, true),
    length: view.getUint32(end + 12, true),
    position: view.getUint32(end + 16, true),
  }
  const locator = end - 20
  if (locator < 0 || view.getUint32(locator, true) !== ZIP64_LOCATOR) return plain
  const position = safeNumber(
    view.getBigUint64(locator + 8, true),
    `${file}: the position of the ZIP64 directory`,
  )
  const record = new DataView((yield* source.read(position, 56, 'the ZIP64 end record')).buffer)
  if (record.getUint32(0, true) !== ZIP64_END_OF_DIRECTORY) {
    throw new CheckpointError(`${file} is damaged: its ZIP64 end record is not where it should be`)
  }
  return {
    count: safeNumber(record.getBigUint64(32, true), `${file}: the number of zip entries`),
    length: safeNumber(record.getBigUint64(40, true), `${file}: the length of the zip directory`),
    position: safeNumber(record.getBigUint64(48, true), `${file}: the position of the zip directory`),
  }
}

function parseDirectory(bytes: Uint8Array<ArrayBuffer>, count: number, file: string): DirectoryHeader[] {
  const view = new DataView(bytes.buffer)
  const damaged = () =>
    new CheckpointError(`${file} is damaged: its zip directory ends in the middle of an entry`)
  const headers: DirectoryHeader[] = []
  let at = 0
  for (let index = 0; index < count; index++) {
    if (at + 46 > bytes.byteLength) throw damaged()
    if (view.getUint32(at, true) !== DIRECTORY_ENTRY) {
      throw new CheckpointError(`${file} is damaged: entry ${index} of its zip directory is none`)
    }
    const nameLength = view.getUint16(at + 28, true)
    const extraLength = view.getUint16(at + 30, true)
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true)
    if (next > bytes.byteLength) throw damaged()
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength))
    const where = `${file}: zip entry "${name}"`
    if (view.getUint16(at + 8, true) & 1) throw new CheckpointError(`${where} is encrypted`)
    const extra = view64(bytes, at + 46 + nameLength, extraLength)
    // The 64-bit field holds, in this order, only those values that are all ones in the 32-bit header.
    const size = wide(view.getUint32(at + 24, true), extra, `${where}: its size`)
    const stored = wide(view.getUint32(at + 20, true), extra, `${where}: its stored size`)
    const method = view.getUint16(at + 10, true)
    const localHeader = wide(view.getUint32(at + 42, true), extra, `${where}: its position`)
    if (method === 0 && stored !== size) {
      throw new CheckpointError(
        `${where} is damaged: stored without compression, yet ${stored} bytes for ${size}`,
      )
    }
    headers.push({ name, size: stored, crc: view.getUint32(at + 16, true), method, localHeader })
    at = next
  }
  return headers
}

/** The values of a ZIP64 extra field (tag 1), one after the other. */
function view64(
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  length: number,
): { next(): bigint | undefined } {
  const view = new DataView(bytes.buffer, start, length)
  let at = 0
  let end = 0
  for (let field = 0; field + 4 <= length; field += 4 + view.getUint16(field + 2, true)) {
    if (view.getUint16(field, true) !== 1) continue
    at = field + 4
    end = Math.min(length, at + view.getUint16(field + 2, true))
    break
  }
  return {
    next() {
      if (at + 8 > end) return undefined
      at += 8
      return view.getBigUint64(at - 8, true)
    },
  }
}

function wide(value: number, extra: { next(): bigint | undefined }, what: string): number {
  if (value !== 0xffffffff) return value
  const long = extra.next()
  if (long === undefined) throw new CheckpointError(`${what} is missing from its ZIP64 field`)
  return safeNumber(long, what)
}

/**
 * Where an entry's bytes begin. Only its local header tells: the extra field there may differ from the directory's.
 * @throws CheckpointError if there is no such header, or the bytes reach into what follows
 */
export function* locateZipEntry(source: FileSource, entry: ZipEntry): Steps<number> {
  const where = `zip entry "${entry.name}"`
  const bytes = yield* source.read(entry.localHeader, 30, where)
  const view = new DataView(bytes.buffer)
  if (view.getUint32(0, true) !== LOCAL_HEADER) {
    throw new CheckpointError(`${source.file} is damaged: ${where} is not where the zip directory says`)
  }
  const position = entry.localHeader + 30 + view.getUint16(26, true) + view.getUint16(28, true)
  if (position + entry.size > entry.end) {
    throw new CheckpointError(
      `${source.file} is damaged: ${where} claims ${entry.size} bytes, more than there are`,
    )
  }
  return position
}

/** Sets where each entry must end. A local header takes 30 bytes at least. */
function checkOverlap(entries: ZipEntry[], file: string): void {
  const ordered = entries.sort((a, b) => a.localHeader - b.localHeader)
  for (const [index, entry] of ordered.entries()) {
    const next = ordered[index + 1]
    if (!next) return
    if (entry.localHeader + 30 + entry.size > next.localHeader) {
      throw new CheckpointError(`${file} is damaged: zip entries "${entry.name}" and "${next.name}" overlap`)
    }
    entry.end = Math.min(entry.end, next.localHeader)
  }
}

function safeNumber(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new CheckpointError(`${what} is impossible: ${value}`)
  return Number(value)
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0')
}
