import { mkdir } from 'node:fs/promises'
import { dirname, extname, isAbsolute, join } from 'node:path'
import { CheckpointError, ConfigError } from '../engine/errors.ts'
import { noGrad, type Tensor, zerosLike } from '../engine/index.ts'
import { loadWeights, readSafetensors, writeSafetensors } from '../io/index.ts'
import type { LoadStateDictResult } from '../nn/index.ts'
import type { ParamState } from '../optim/index.ts'
import type { Learner } from './Learner.ts'
import type { OptimizerWrapper } from './OptimizerWrapper.ts'

/** What loading found without a counterpart. All empty when everything matched. */
export interface LoadReport extends LoadStateDictResult {
  /** Parameters whose optimizer state is in the file, but which are not trained now (frozen): theirs was left aside. */
  optimizerStateUnused: string[]
  /** Whether the file had an optimizer's state, and it was taken over. */
  optimizerLoaded: boolean
}

/** The optimizer's tensors stand beside the model's under `__optimizer__/<parameter>/<key>`, its numbers in the metadata. */
const optimizerPrefix = '__optimizer__/'
const metadataKey = 'anneal.learner'
const version = 1

interface Header {
  version: number
  /** Class of the optimizer. */
  optimizer?: string
  /** Numbers that the optimizer remembers, by parameter and key. */
  numbers?: Record<string, Record<string, number>>
}

/** Where a model of that name is kept: below the Learner's folder for models, unless the name is an absolute path. */
export function checkpointFile({ path, modelDir }: Learner, name: string): string {
  if (typeof name !== 'string' || name === '') {
    throw new ConfigError(`a model is saved under a name, got ${JSON.stringify(name)}`)
  }
  const file = ['.safetensors', '.pth', '.pt'].includes(extname(name)) ? name : `${name}.safetensors`
  return isAbsolute(file) ? file : join(path, modelDir, file)
}

export async function writeCheckpoint(
  file: string,
  learner: Learner,
  optimizer?: OptimizerWrapper,
): Promise<void> {
  if (extname(file) !== '.safetensors') {
    throw new ConfigError(
      `a Learner saves safetensors, not ${extname(file)}: leave the extension out (saveWeights writes others)`,
    )
  }
  const header: Header = { version }
  const model = learner.model.stateDict()
  const tensors: Record<string, Tensor> = { ...model }
  if (optimizer) Object.assign(tensors, describeOptimizer(learner, optimizer, header))
  try {
    await mkdir(dirname(file), { recursive: true }).catch((cause: Error) => {
      throw new CheckpointError(`the folder ${dirname(file)} cannot be made: ${cause.message}`, { cause })
    })
    await writeSafetensors(file, tensors, { format: 'pt', [metadataKey]: JSON.stringify(header) })
  } finally {
    for (const alias of Object.values(model)) alias[Symbol.dispose]()
  }
}

function describeOptimizer(
  learner: Learner,
  { inner }: OptimizerWrapper,
  header: Header,
): Record<string, Tensor> {
  const tensors: Record<string, Tensor> = {}
  header.optimizer = inner.constructor.name
  header.numbers = {}
  for (const [name, parameter] of learner.model.namedParameters()) {
    for (const [key, value] of Object.entries(inner.state.get(parameter) ?? {})) {
      if (typeof value === 'number') header.numbers[name] = { ...header.numbers[name], [key]: value }
      else tensors[`${optimizerPrefix}${name}/${key}`] = value
    }
  }
  return tensors
}

export interface ReadCheckpointOptions {
  strict: boolean
  withOptimizer: boolean
}

/** Everything is compared before anything is changed. */
export async function readCheckpoint(
  file: string,
  learner: Learner,
  options: ReadCheckpointOptions,
): Promise<LoadReport> {
  if (extname(file) !== '.safetensors') {
    const names = await loadWeights(learner.model, file, { strict: options.strict })
    return { ...names, optimizerLoaded: false, optimizerStateUnused: [] }
  }
  const { tensors, metadata } = await readSafetensors(file)
  try {
    const header = parseHeader(file, metadata[metadataKey])
    const names = Object.keys(tensors)
    const pick = (wanted: (name: string) => boolean) =>
      Object.fromEntries(names.filter(wanted).map((name) => [name, tensors[name]!]))
    const saved = pick((name) => name.startsWith(optimizerPrefix))
    const optimizer =
      options.withOptimizer && header.optimizer ? readOptimizer(file, learner, header, saved) : undefined
    const loaded = learner.model.loadStateDict(
      pick((name) => !name.startsWith(optimizerPrefix)),
      { strict: options.strict },
    )
    if (optimizer) putOptimizerState(learner, optimizer.states)
    return {
      ...loaded,
      optimizerLoaded: optimizer !== undefined,
      optimizerStateUnused: optimizer?.unused ?? [],
    }
  } catch (error) {
    if (error instanceof CheckpointError && !error.message.includes(file)) {
      throw new CheckpointError(`${file}: ${error.message}`, { cause: error })
    }
    throw error
  } finally {
    for (const tensor of Object.values(tensors)) tensor[Symbol.dispose]()
  }
}

function parseHeader(file: string, text: string | undefined): Header {
  if (text === undefined) return { version } // weights from elsewhere
  let header: Header
  try {
    header = JSON.parse(text) as Header
  } catch (cause) {
    throw new CheckpointError(`${file} is damaged: its Learner metadata is no JSON`, { cause })
  }
  if (!(header?.version <= version)) {
    throw new CheckpointError(
      `${file} was written by a newer version (format ${header?.version}, known up to ${version}): update anneal to load it`,
    )
  }
  return header
}

type States = Map<Tensor, ParamState>

function readOptimizer(
  file: string,
  learner: Learner,
  { optimizer, numbers = {} }: Header,
  tensors: Record<string, Tensor>,
): { states: States; unused: string[] } {
  const { inner } = learner.optimizer
  const advice = 'Pass { withOptimizer: false } to load the model alone'
  if (inner.constructor.name !== optimizer) {
    throw new CheckpointError(
      `${file} has the state of ${optimizer}, this Learner optimizes with ${inner.constructor.name}. ${advice}`,
    )
  }
  const parameters = new Map(learner.model.namedParameters())
  const trained = new Set(learner.optimizer.parameters())
  const states: States = new Map()
  const unused = new Set<string>()
  const put = (name: string, key: string, value: Tensor | number) => {
    const parameter = parameters.get(name)
    if (!parameter || !trained.has(parameter)) {
      unused.add(name)
      return
    }
    if (typeof value !== 'number' && value.shape.join() !== parameter.shape.join()) {
      throw new CheckpointError(
        `${file}: the optimizer's ${key} of ${name} is [${value.shape.join(', ')}], the parameter [${parameter.shape.join(', ')}]. ${advice}`,
      )
    }
    states.set(parameter, { ...states.get(parameter), [key]: value })
  }
  for (const [name, values] of Object.entries(numbers)) {
    for (const [key, value] of Object.entries(values)) put(name, key, value)
  }
  for (const [path, tensor] of Object.entries(tensors)) {
    const [name, key] = path.slice(optimizerPrefix.length).split('/') as [string, string]
    put(name, key, tensor)
  }
  return { states, unused: [...unused] }
}

function putOptimizerState({ optimizer }: Learner, states: States): void {
  optimizer.clear()
  for (const [parameter, state] of states) {
    const own = Object.entries(state).map(([key, value]) => [
      key,
      typeof value === 'number' ? value : noGrad(() => zerosLike(parameter).copy_(value).keep()),
    ])
    optimizer.inner.state.set(parameter, Object.fromEntries(own))
  }
}
