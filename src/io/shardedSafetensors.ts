import { basename, dirname, join } from 'node:path'
import { show } from '../engine/check.ts'
import { CheckpointError } from '../engine/errors.ts'
import { FileSource, type Steps } from './fileSource.ts'
import { parseJson } from './parseJson.ts'
import type { TensorInfo, WeightsDirectory } from './rawTensor.ts'
import { readSafetensorsDirectory } from './safetensors.ts'

/** An index lists names only. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024

/** Whether a file starts like the index of weights in several files: a JSON object. */
export function looksLikeShardIndex(head: Uint8Array): boolean {
  return /^(\ufeff)?\s*\{\s*"/.test(new TextDecoder().decode(head))
}

/**
 * Weights in several safetensors files, from the index that says which tensor is in which (`model.safetensors.index.json`, as
 * Hugging Face's libraries write it). The files lie beside the index.
 *
 * @throws CheckpointError if the index is damaged, names files elsewhere, or does not agree with what they hold
 */
export function* readShardedDirectory(source: FileSource): Steps<WeightsDirectory> {
  const { file } = source
  const places = parseIndex(yield* readText(source), file)
  const shards = new Map<string, WeightsDirectory>()
  for (const name of new Set(places.values())) {
    shards.set(name, yield* readSafetensorsDirectory(yield* FileSource.open(join(dirname(file), name))))
  }
  const tensors = new Map<string, TensorInfo>()
  const absent: string[] = []
  for (const [tensor, place] of places) {
    const info = shards.get(place)!.tensors.get(tensor)
    if (info) tensors.set(tensor, info)
    else absent.push(`"${tensor}" in ${place}`)
  }
  if (absent.length > 0) {
    throw new CheckpointError(
      `${file} does not agree with the files beside it: they lack ${absent.join(', ')}`,
    )
  }
  return {
    file,
    format: 'safetensors',
    size: [...shards.values()].reduce((sum, shard) => sum + shard.size, 0),
    metadata: {},
    tensors,
    others: [],
    *read(name) {
      const place = places.get(name)
      if (place === undefined) throw new CheckpointError(`${file} lists no tensor "${name}"`)
      return yield* shards.get(place)!.read(name)
    },
  }
}

function* readText(source: FileSource): Steps<string> {
  if (source.size > MAX_INDEX_BYTES) {
    throw new CheckpointError(
      `${source.file} begins as an index of weights does, but has ${source.size} bytes; at most ${MAX_INDEX_BYTES} are accepted`,
    )
  }
  return new TextDecoder().decode(yield* source.read(0, source.size, 'the index'))
}

/** Which file each tensor is in. */
function parseIndex(text: string, file: string): Map<string, string> {
  let json: { weight_map?: unknown }
  try {
    json = parseJson(text) as typeof json
  } catch (cause) {
    const problem = cause instanceof RangeError ? cause.message : 'it begins as JSON does, but is none'
    throw new CheckpointError(`${file} is no weights file: ${problem}`, { cause })
  }
  const map = json.weight_map
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new CheckpointError(`${file} is no weights file: it is JSON without the "weight_map" of an index`)
  }
  const places = new Map(Object.entries(map) as [string, unknown][])
  for (const [tensor, place] of places) {
    if (typeof place !== 'string' || place !== basename(place) || !place.endsWith('.safetensors')) {
      throw new CheckpointError(
        `${file}: tensor "${tensor}" is said to be in ${show(place)}; an index may name .safetensors files beside it only`,
      )
    }
  }
  return places as Map<string, string>
}
