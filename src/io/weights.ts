import { extname } from 'node:path'
import { CheckpointError, ConfigError } from '../engine/errors.ts'
import { noGrad, scope, type Tensor } from '../engine/index.ts'
import type { LoadStateDictResult, Module } from '../nn/index.ts'
import { AsyncFile, type FileSource, type Steps, SyncFile } from './fileSource.ts'
import { type ReadWeightsOptions, readWeightsDirectory } from './openWeightsFile.ts'
import { writePthFile } from './pthWriter.ts'
import type { RawTensor, WeightsDirectory } from './rawTensor.ts'
import { type TensorToWrite, writeSafetensorsFile } from './safetensors.ts'
import { isTensorDType, tensorFromBytes } from './tensorBytes.ts'

export interface LoadWeightsOptions extends ReadWeightsOptions {
  /** Names that are missing or unexpected are errors. Default true. Shapes must agree either way. */
  strict?: boolean
  /** Names to leave alone, in the file as in the model: those of a classifier that is to be replaced, say. Default none. */
  skip?: (name: string) => boolean
}

export interface SaveWeightsOptions {
  /** Text to store with the tensors. */
  metadata?: Readonly<Record<string, string>>
}

/** Named tensors and text from a safetensors file. */
export interface SafetensorsContent {
  tensors: Record<string, Tensor>
  metadata: Readonly<Record<string, string>>
}

/** What loading and saving need of a model: any module, whatever its `forward` takes and gives. */
export type WeightsModel = Pick<Module, 'stateDict' | 'namedModules'>

/** What wrappers put before every name: data-parallel training, and torch.compile. */
const WRAPPER_PREFIXES = ['module.', '_orig_mod.']

/** A Learner's checkpoint keeps the optimizer's state, and its own, beside the model, under names that begin so. */
const NO_WEIGHTS = /^__(optimizer|learner)__\//

/** Views of few stored elements may unfold into many. By how much the tensors of a file may exceed the file. */
const MAX_UNFOLDING = { factor: 16, bytes: 32 * 1024 ** 2 }

/**
 * Loads weights into a model from a file of any supported format: PyTorch's zip format, its older pickle-stream format,
 * safetensors, or the index of safetensors in several files (`model.safetensors.index.json`); checkpoints that wrap a state dict are understood, and a prefix `module.` on all names is taken off. The content
 * decides, not the file's name, and nothing in the file is ever run.
 *
 * A checkpoint of a Learner serves too; what it holds beside the model is left aside.
 *
 * All names, shapes and dtypes are looked at before anything is changed. Values are converted to the dtype of the model's tensors,
 * which stay where they are; the file is read tensor by tensor.
 *
 * @returns names without a counterpart, which can only be any with `strict: false`
 * @throws CheckpointError that lists all missing and unexpected names and all shapes that differ, or says what is wrong
 *   with the file
 */
export async function loadWeights(
  model: WeightsModel,
  file: string,
  options: LoadWeightsOptions = {},
): Promise<LoadStateDictResult> {
  return AsyncFile.with(file, (source) => loadSteps(model, source, options))
}

/** As {@link loadWeights}, but returns only when done: for functions that give back a model and no promise. */
export function loadWeightsSync(
  model: WeightsModel,
  file: string,
  options: LoadWeightsOptions = {},
): LoadStateDictResult {
  return SyncFile.with(file, (source) => loadSteps(model, source, options))
}

function* loadSteps(
  model: WeightsModel,
  source: FileSource,
  options: LoadWeightsOptions,
): Steps<LoadStateDictResult> {
  const directory = yield* readWeightsDirectory(source, options)
  const state = model.stateDict()
  try {
    const { copies, result } = matchNames(model, state, directory, options)
    for (const [target, name] of copies) {
      const raw = yield* directory.read(name)
      noGrad(() => scope(() => void target.copy_(tensorFromBytes(raw, `${source.file}: tensor "${name}"`))))
    }
    return result
  } finally {
    for (const alias of Object.values(state)) alias[Symbol.dispose]()
  }
}

interface Match {
  /** Tensors of the model with the names in the file of what goes into them. */
  copies: [target: Tensor, name: string][]
  result: LoadStateDictResult
}

function matchNames(
  model: WeightsModel,
  state: Readonly<Record<string, Tensor>>,
  directory: WeightsDirectory,
  { strict = true, skip = () => false }: LoadWeightsOptions,
): Match {
  const { file, tensors, others } = directory
  const modelNames = [...tensors.keys()].filter((name) => !NO_WEIGHTS.test(name))
  const storedNames = unwrappedNames(modelNames, new Set(Object.keys(state)))
  renameOldSpellings(storedNames, state)
  const optional = optionalNames(model)
  const missingKeys: string[] = []
  const differing: string[] = []
  const foreign: string[] = []
  const copies: Match['copies'] = []
  for (const [name, target] of Object.entries(state)) {
    if (skip(name)) continue
    const storedName = storedNames.get(name)
    const stored = storedName === undefined ? undefined : tensors.get(storedName)
    if (storedName === undefined || stored === undefined) {
      if (!optional.has(name)) missingKeys.push(name)
    } else if (!sameShape(stored.shape, target.shape)) {
      differing.push(
        `${name} is [${stored.shape.join(', ')}] in the file, [${target.shape.join(', ')}] in the model`,
      )
    } else if (!isTensorDType(stored.dtype)) {
      foreign.push(`${name} is ${stored.dtype}`)
    } else {
      copies.push([target, storedName])
    }
  }
  const unexpectedKeys = [...storedNames.keys(), ...others].filter(
    (name) => !(Object.hasOwn(state, name) || skip(name)),
  )

  const problems: string[] = []
  const report = (title: string, names: string[], separator = ', ') => {
    if (names.length > 0) problems.push(`${title} (${names.length}): ${names.join(separator)}`)
  }
  if (strict) {
    report('missing from the file', missingKeys)
    report('not in the model', unexpectedKeys)
  }
  report('of another shape', differing, '; ')
  report('of a dtype that tensors here do not have', foreign)
  if (problems.length === 0 && copies.length === 0 && missingKeys.length > 0) {
    problems.push(
      `no name agrees; the file has ${[...storedNames.keys()].slice(0, 5).join(', ') || 'no tensors'}, …`,
    )
  }
  if (problems.length > 0) {
    throw new CheckpointError(
      `${file} does not fit ${model.constructor.name}; nothing was changed.\n  ${problems.join('\n  ')}\n` +
        (differing.length > 0
          ? 'Make the model with the shapes of the file (its number of classes, say), or skip these names with the option "skip".'
          : foreign.length > 0
            ? 'Convert them before saving, or skip these names with the option "skip".'
            : 'Pass { strict: false } to load what agrees.'),
    )
  }
  return { copies, result: { missingKeys, unexpectedKeys } }
}

/** Names that the modules do not insist on: counters of batch norm, which older PyTorch did not save. */
function optionalNames(model: WeightsModel): Set<string> {
  const names = new Set<string>()
  for (const [prefix, module] of model.namedModules()) {
    for (const name of module.optionalState()) names.add(prefix === '' ? name : `${prefix}.${name}`)
  }
  return names
}

/**
 * Names as the model has them, with the names in the file they stand for: wrappers' prefixes are taken off where all names
 * of the file have them and none of the model's.
 */
function unwrappedNames(
  stored: Iterable<string>,
  inModel: ReadonlySet<string> = new Set(),
): Map<string, string> {
  let names = new Map([...stored].map((name) => [name, name]))
  for (;;) {
    const all = [...names.keys()]
    const prefix = WRAPPER_PREFIXES.find(
      (prefix) =>
        all.every((name) => name.startsWith(prefix)) && ![...inModel].some((name) => name.startsWith(prefix)),
    )
    if (prefix === undefined || all.length === 0) return names
    names = new Map([...names].map(([name, storedName]) => [name.slice(prefix.length), storedName]))
  }
}

/** Names in published files that their own publisher reads as others: torchvision's DenseNets are older than its code. */
const OLD_SPELLINGS: readonly [RegExp, string][] = [
  [/(denselayer\d+\.(?:norm|relu|conv))\.([12])(?=\.)/, '$1$2'],
]

/** Gives names that the model does not have, but would under a newer spelling, that spelling. */
function renameOldSpellings(names: Map<string, string>, state: Readonly<Record<string, Tensor>>): void {
  for (const [name, storedName] of [...names]) {
    if (Object.hasOwn(state, name)) continue
    const spelling = OLD_SPELLINGS.find(([pattern]) => pattern.test(name))
    const newer = spelling && name.replace(spelling[0], spelling[1])
    if (newer === undefined || !Object.hasOwn(state, newer)) continue
    names.delete(name)
    names.set(newer, storedName)
  }
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, index) => size === b[index])
}

/**
 * Saves a model's parameters and buffers under PyTorch's names: as safetensors, or, if the file is called `.pth` or `.pt`, in the
 * zip format of `torch.save`, for `torch.load(file, weights_only=True)`. Missing folders are made; the file appears whole or not at
 * all. Values are those at the time of the call, even if training goes on meanwhile.
 *
 * @throws CheckpointError that names the file if it cannot be written; what was there before stays
 */
export async function saveWeights(
  model: WeightsModel,
  file: string,
  { metadata }: SaveWeightsOptions = {},
): Promise<void> {
  const extension = extname(file).toLowerCase()
  const torchFormat = extension === '.pth' || extension === '.pt'
  if (!torchFormat && extension !== '.safetensors') {
    throw new ConfigError(`weights are saved in a file called .safetensors, .pth or .pt; got ${file}`)
  }
  if (torchFormat && metadata !== undefined) {
    throw new ConfigError(`${file}: metadata can be stored in safetensors only`)
  }
  const state = model.stateDict()
  try {
    if (torchFormat) await writePthFile(file, await snapshot(state))
    else await writeSafetensors(file, state, { format: 'pt', ...metadata })
  } finally {
    for (const alias of Object.values(state)) alias[Symbol.dispose]()
  }
}

/**
 * The tensors of a weights file by name, on the CPU. Formats as for {@link loadWeights}; what is no tensor in the state dict
 * is left out.
 *
 * @throws CheckpointError
 */
export async function readStateDict(
  file: string,
  options: ReadWeightsOptions = {},
): Promise<Record<string, Tensor>> {
  return AsyncFile.with(file, function* (source) {
    return yield* readTensors(yield* readWeightsDirectory(source, options))
  })
}

/**
 * Writes named tensors as safetensors, with text beside them. Missing folders are made; the file appears whole or not at all, and
 * holds the values at the time of the call.
 *
 * @throws CheckpointError that names the file if it cannot be written; what was there before stays
 */
export async function writeSafetensors(
  file: string,
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeSafetensorsFile(file, await snapshot(tensors), metadata)
}

/** The values of tensors as they are now: all reads are queued before the first is awaited. */
async function snapshot(tensors: Readonly<Record<string, Tensor>>): Promise<[string, TensorToWrite][]> {
  return Promise.all(
    Object.entries(tensors).map(async ([name, tensor]): Promise<[string, TensorToWrite]> => {
      const { dtype, shape } = tensor
      return [name, { dtype, shape: [...shape], data: await tensor.bytes() }]
    }),
  )
}

/** Reads what {@link writeSafetensors} wrote, or any other safetensors file. Tensors are on the CPU. */
export async function readSafetensors(file: string): Promise<SafetensorsContent> {
  return AsyncFile.with(file, function* (source) {
    const directory = yield* readWeightsDirectory(source)
    if (directory.format !== 'safetensors') {
      throw new CheckpointError(
        `${file} is no safetensors file but one of torch.save; read it with readStateDict`,
      )
    }
    return { tensors: yield* readTensors(directory), metadata: directory.metadata }
  })
}

function* readTensors(directory: WeightsDirectory): Steps<Record<string, Tensor>> {
  const { file, format, tensors, size } = directory
  const names =
    format === 'safetensors'
      ? [...tensors.keys()].map((name) => [name, name] as const)
      : unwrappedNames(tensors.keys())
  let total = 0
  const loaded: [string, Tensor][] = []
  for (const [name, storedName] of names) {
    const raw: RawTensor = yield* directory.read(storedName)
    total += raw.data.byteLength
    if (total > size * MAX_UNFOLDING.factor + MAX_UNFOLDING.bytes) {
      throw new CheckpointError(
        `${file} of ${size} bytes unfolds into more than ${total} bytes of tensors, which is not accepted`,
      )
    }
    loaded.push([name, tensorFromBytes(raw, `${file}: tensor "${storedName}"`)])
  }
  return Object.fromEntries(loaded)
}
