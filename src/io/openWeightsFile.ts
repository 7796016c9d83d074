import { CheckpointError } from '../engine/errors.ts'
import { FileSource } from './fileSource.ts'
import { looksLikeLegacyPth, looksLikePickle } from './legacyPth.ts'
import { type OpenPthOptions, openPth } from './pth.ts'
import type { WeightsFile } from './rawTensor.ts'
import { looksLikeSafetensors, openSafetensorsSource } from './safetensors.ts'
import { looksLikeZip } from './zip.ts'

export interface OpenWeightsOptions extends OpenPthOptions {}

/**
 * Opens a weights file of any supported format: safetensors, or what `torch.save` writes (zip archive or the older stream
 * of pickles). The content decides, not the name. Headers are checked here; tensors are read on demand.
 *
 * @throws CheckpointError
 */
export async function openWeightsFile(file: string, options: OpenWeightsOptions = {}): Promise<WeightsFile> {
  const source = await FileSource.open(file)
  try {
    if (source.size === 0) throw new CheckpointError(`${file} is empty`)
    const head = await source.read(0, Math.min(32, source.size), 'the first bytes')
    if (looksLikeZip(head)) return await openPth(source, 'pth', options)
    if (looksLikeLegacyPth(head)) return await openPth(source, 'pth-legacy', options)
    if (looksLikeSafetensors(head)) return await openSafetensorsSource(source)
    if (looksLikePickle(head)) {
      throw new CheckpointError(
        `${file} is a plain Python pickle, not a file of torch.save; nothing from it was run`,
      )
    }
    throw new CheckpointError(
      `${file} is no weights file: it is neither safetensors nor a file of torch.save (or it was damaged at its start)`,
    )
  } catch (error) {
    await source.close()
    throw error
  }
}
