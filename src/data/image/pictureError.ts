import { stat } from 'node:fs/promises'
import { DataError } from '../../engine/errors.ts'
import { MAX_SIDE } from '../../engine/pictures.ts'
import { orLeaveOut } from '../skipAdvice.ts'
import { DEFAULT_MAX_PIXELS } from './limits.ts'

/** A file's name as people can read it, even if it holds line breaks or bytes that are no text. */
export function readableName(file: string | Buffer): string {
  return file.toString().replace(/\p{Cc}/gu, (character) => {
    if (character === '\n') return '\\n'
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** What was being done: reading the file or its header, or decoding the picture itself. */
export type PictureStage = 'header' | 'decode'

/**
 * The error for a picture that could not be read or decoded: says which file, what is wrong with it, and what to do.
 * `source` is the file's path or what it holds.
 */
export async function pictureError(
  name: string,
  source: string | Uint8Array,
  stage: PictureStage,
  cause: unknown,
): Promise<DataError> {
  const reason = await reasonOf(source, stage, cause)
  return new DataError(`${name}: ${reason}. Repair or remove it${orLeaveOut('pictures')}`, { cause })
}

/** The error for a picture of which transforms would make one that cannot be made, or would fill the memory. */
export function tooLargeError(name: string, width: number, height: number): DataError {
  return new DataError(
    `${name}: the transforms would make a picture of ${width}x${height} pixels of it; sides are at most ${MAX_SIDE.toLocaleString('en')}, and pixels ${DEFAULT_MAX_PIXELS.toLocaleString('en')}. Remove or cut it${orLeaveOut('pictures')}`,
  )
}

/** Bytes in a file. @throws Error for what is no plain file: whoever opened a pipe would wait for somebody to write to it */
export async function plainFileSize(path: string | Buffer): Promise<number> {
  const found = await stat(path)
  if (found.isFile()) return found.size
  throw new Error('it is a folder, a pipe or a device')
}

async function reasonOf(source: string | Uint8Array, stage: PictureStage, cause: unknown): Promise<string> {
  const message = cause instanceof Error ? cause.message.trim().split('\n')[0]! : String(cause)
  if (cause instanceof Error && 'syscall' in cause) return `the file cannot be read (${message})`
  try {
    const size = typeof source === 'string' ? await plainFileSize(source) : source.length
    if (size === 0) return 'the file is empty (0 bytes), so it is no picture'
  } catch (error) {
    return `the file cannot be read (${(error as Error).message})`
  }
  if (/EACCES|EPERM|permission denied|unable to open/i.test(message))
    return `the file cannot be read (${message})`
  if (/exceeds pixel limit/i.test(message)) {
    return `the picture has more than ${DEFAULT_MAX_PIXELS.toLocaleString('en')} pixels, which would fill the memory`
  }
  // libvips keeps its messages in one place for all threads: when several pictures fail together, some get none.
  const detail = message === 'Unknown error' ? '' : ` (${message})`
  return stage === 'header'
    ? `this is no picture that can be decoded${detail}`
    : `the picture is cut short or damaged${detail}`
}
