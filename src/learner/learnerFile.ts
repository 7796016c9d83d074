import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { extname } from 'node:path'
import { crc32 } from 'node:zlib'
import { show } from '../engine/check.ts'
import { AnnealError, CheckpointError, ConfigError } from '../engine/errors.ts'
import { crc32Of } from '../io/checksum.ts'
import { openWeightsFile, type RawTensor, writeSafetensorsFile } from '../io/index.ts'
import { makeFolders } from '../io/makeFolders.ts'
import { parseJson } from '../io/parseJson.ts'

/**
 * A file of a Learner is safetensors: the model's tensors under their own names, all others under names that begin with
 * `__optimizer__/` or `__learner__/`, and a header of JSON in the metadata, with a checksum of everything beside it.
 */
export interface LearnerFile {
  tensors: Map<string, RawTensor>
  header: Header
}

export interface Header {
  /** Class of the optimizer, if what it remembers is in the file. */
  optimizer?: string
  /** Numbers that the optimizer remembers, by parameter and key. */
  numbers?: Record<string, Record<string, number>>
  /** Where a fit stood; see `resume.ts`. */
  fit?: unknown
  /** What the model's numbers stand for; see `dataMeaning.ts`. */
  data?: unknown
  /** What an exported Learner is made of; see `export.ts`. */
  learner?: unknown
}

const version = 2
/** Names and values of a header: histories and categories are in it. */
const MAX_VALUES = 4_000_000
const headerKey = 'anneal.learner'
const checksumKey = 'anneal.crc32'

/** @throws CheckpointError if the file cannot be written; what was there before stays */
export async function writeLearnerFile(file: string, { tensors, header }: LearnerFile): Promise<void> {
  if (extname(file) !== '.safetensors') {
    throw new ConfigError(
      `a Learner saves safetensors, not ${extname(file)}: leave the extension out (saveWeights writes others)`,
    )
  }
  const text = JSON.stringify({ version, ...header })
  await writeSafetensorsFile(file, tensors, {
    format: 'pt',
    [headerKey]: text,
    [checksumKey]: checksum(text, tensors),
  })
}

/**
 * For callbacks that save: a name that the first save would refuse is found out when they are made.
 * @throws ConfigError if it is empty, or that of a format which a Learner does not save
 */
export function checkSavedName(owner: string, name: string): void {
  if (typeof name !== 'string' || !name) throw new ConfigError(`${owner}: name must not be empty`)
  const extension = extname(name)
  if (extension !== '.pth' && extension !== '.pt') return
  throw new ConfigError(
    `${owner}: a Learner saves safetensors, not ${extension}: leave the extension out of the name ${name} (saveWeights writes others)`,
  )
}

/**
 * Makes the folder if need be. Callbacks that save call it when a fit begins, so that nothing is found out after an epoch.
 * @throws CheckpointError if nothing can be written there
 */
export async function checkWritable(folder: string): Promise<void> {
  await makeFolders(folder).catch((cause: Error) => {
    throw new CheckpointError(`the folder ${folder} cannot be made: ${cause.message}`, { cause })
  })
  await access(folder, constants.W_OK).catch((cause: NodeJS.ErrnoException) => {
    const reason = cause.code === 'EROFS' ? 'it is on a read-only file system' : cause.message
    throw new CheckpointError(`nothing can be written in ${folder}: ${reason}`, { cause })
  })
}

/**
 * Reads a whole file of a Learner, or safetensors from elsewhere.
 * @throws CheckpointError if it is missing, cut short, damaged or of a newer version
 */
export async function readLearnerFile(file: string): Promise<LearnerFile> {
  const opened = await openWeightsFile(file)
  try {
    if (opened.format !== 'safetensors') {
      throw new CheckpointError(`${file} is no file of a Learner but one of torch.save: loadWeights reads it`)
    }
    const text = opened.metadata[headerKey]
    const header = text === undefined ? {} : parseHeader(file, text)
    const tensors = new Map<string, RawTensor>()
    for (const name of opened.tensors.keys()) tensors.set(name, await opened.read(name))
    const expected = opened.metadata[checksumKey]
    if (expected !== undefined && expected !== checksum(text ?? '', tensors)) {
      throw new CheckpointError(
        `${file} is damaged: its content does not match its checksum. Take an earlier or another copy of it`,
      )
    }
    return { tensors, header }
  } finally {
    await opened.close()
  }
}

function parseHeader(file: string, text: string): Header {
  let header: Header & { version?: unknown }
  try {
    header = parseJson(text, MAX_VALUES) as typeof header
  } catch (cause) {
    throw new CheckpointError(`${file} is damaged: its Learner metadata is no JSON`, { cause })
  }
  const written = header?.version
  if (!(typeof written === 'number' && written <= version)) {
    throw new CheckpointError(
      `${file} was written by a newer version (format ${show(written)}, known up to ${version}): update anneal to load it`,
    )
  }
  return header
}

function checksum(header: string, tensors: ReadonlyMap<string, RawTensor>): string {
  let sum = crc32(header)
  for (const name of [...tensors.keys()].sort()) {
    const { dtype, shape, data } = tensors.get(name)!
    sum = crc32(JSON.stringify([name, dtype, shape]), sum)
    sum = crc32Of(data, sum)
  }
  return sum.toString(16).padStart(8, '0')
}

/**
 * A header that is none of ours meets code that trusts it: what that throws says that the file is damaged. A callback that cannot take
 * up its own state fails alike, and its error is the cause.
 */
export async function honest<Result>(file: string, body: () => Promise<Result>): Promise<Result> {
  try {
    return await body()
  } catch (cause) {
    throw blame(file, cause)
  }
}

/** As {@link honest}, for what answers at once. */
export function honestNow<Result>(file: string, body: () => Result): Result {
  try {
    return body()
  } catch (cause) {
    throw blame(file, cause)
  }
}

function blame(file: string, cause: unknown): unknown {
  if (cause instanceof CheckpointError && !cause.message.includes(file)) {
    return new CheckpointError(`${file}: ${cause.message}`, { cause })
  }
  if (cause instanceof AnnealError || !(cause instanceof TypeError || cause instanceof RangeError))
    return cause
  return new CheckpointError(`${file} is damaged: it cannot be taken up (${cause.message})`, { cause })
}
