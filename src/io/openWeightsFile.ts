import { CheckpointError } from '../engine/errors.ts'
import { AsyncFile, type FileSource, type Steps } from './fileSource.ts'
import { looksLikeLegacyPth, looksLikePickle } from './legacyPth.ts'
import { type PthOptions, readPthDirectory } from './pth.ts'
import type { RawTensor, WeightsDirectory } from './rawTensor.ts'
import { looksLikeSafetensors, readSafetensorsDirectory } from './safetensors.ts'
import { looksLikeShardIndex, readShardedDirectory } from './shardedSafetensors.ts'
import { looksLikeZip } from './zip.ts'

export interface ReadWeightsOptions extends PthOptions {}

/** A {@link WeightsDirectory} over an open file, with promises. Close it when done. */
export interface WeightsFile extends Omit<WeightsDirectory, 'read'> {
  read(name: string): Promise<RawTensor>
  close(): Promise<void>
}

/**
 * Opens a weights file of any supported format: safetensors, the index of several such files, or what `torch.save` writes (zip
 * archive or the older stream of pickles). The content decides, not the name. Headers are checked here; tensors are read on demand.
 *
 * @throws CheckpointError
 */
export async function openWeightsFile(file: string, options: ReadWeightsOptions = {}): Promise<WeightsFile> {
  const opened = await AsyncFile.open(file)
  try {
    const directory = await opened.run(readWeightsDirectory(opened.source, options))
    return { ...directory, read: (name) => opened.run(directory.read(name)), close: () => opened.close() }
  } catch (error) {
    await opened.close()
    throw error
  }
}

/** Recognises the format of a weights file and reads its directory. */
export function* readWeightsDirectory(
  source: FileSource,
  options: ReadWeightsOptions = {},
): Steps<WeightsDirectory> {
  const { file, size } = source
  if (size === 0) throw new CheckpointError(`${file} is empty`)
  const head = yield* source.read(0, Math.min(32, size), 'the first bytes')
  if (looksLikeZip(head)) return yield* readPthDirectory(source, 'pth', options)
  if (looksLikeLegacyPth(head)) return yield* readPthDirectory(source, 'pth-legacy', options)
  if (looksLikeShardIndex(head)) return yield* readShardedDirectory(source)
  if (looksLikeSafetensors(head)) return yield* readSafetensorsDirectory(source)
  if (looksLikePickle(head)) {
    throw new CheckpointError(
      `${file} is a plain Python pickle, not a file of torch.save; nothing from it was run`,
    )
  }
  throw new CheckpointError(
    `${file} is no weights file: it is neither safetensors nor a file of torch.save (or it was cut short or damaged at its start)`,
  )
}
