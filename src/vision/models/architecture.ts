import { type ImageStats, imagenetStats } from '../../data/stats.ts'
import { CheckpointError, ConfigError } from '../../engine/errors.ts'
import { loadWeightsSync } from '../../io/weights.ts'
import { describeAs, type ModelDescription, registerModelKind } from '../../learner/modelDescription.ts'
import type * as nn from '../../nn/index.ts'
import { fetchWeights, fetchWeightsSync, hasPretrained, pretrainedWeights } from '../pretrained/index.ts'

/** Options that every model of {@link models} takes. */
export interface ModelOptions {
  /** Number of outputs. Default 1000, the classes of ImageNet. */
  numClasses?: number
  /**
   * Starts from trained weights: those of `weights`, or without it published ones (see `fetchWeights`). These have 1000 classes; for
   * another number the last layer keeps its random weights. Default: true exactly when `weights` is given.
   */
  pretrained?: boolean
  /** A file of weights for this very model and number of classes (.pth or safetensors). */
  weights?: string
}

/**
 * A model that can be made by calling it, `models.resnet18({ numClasses: 10 })`, and that knows how transfer learning takes it
 * apart: which of its children are the body, and how the body is grouped for discriminative rates.
 */
export interface Architecture<
  Options extends ModelOptions = ModelOptions,
  Model extends nn.Module = nn.Module,
> {
  /** @throws ConfigError for a wrong option; CheckpointError if the weights do not fit */
  (options?: Options): Model
  readonly name: string
  /** What pictures are normalised with before they come in. */
  readonly stats: ImageStats
  /** The child before which the model is cut: all before it are the body. */
  cut(model: Model): nn.Module
  /** The modules of the body that begin a new layer group (the head is always one of its own). */
  split(model: Model): nn.Module[]
}

interface Definition<Options extends ModelOptions, Model extends nn.Module> {
  name: string
  build(options: Options): Model
  /** Names of the options beyond those of {@link ModelOptions}. */
  options?: readonly Exclude<keyof Options & string, keyof ModelOptions>[]
  /** Default: ImageNet's. */
  stats?: ImageStats
  cut(model: Model): nn.Module
  split(model: Model): nn.Module[]
}

const architectures = new Map<string, (options: ModelOptions) => nn.Module>()

registerModelKind<ModelDescription & { name: string; options: ModelOptions }>(
  'architecture',
  ({ name, options }) => {
    const { pretrained, weights } = options
    // Where a model comes from is nothing that a file may say: it would have files opened, or fetched.
    if (pretrained !== undefined || weights !== undefined) {
      throw new CheckpointError(`the description of the ${name} asks for other weights than those beside it`)
    }
    return architectureOf(name)(options)
  },
)

/** @throws CheckpointError if there is none of that name */
export function architectureOf(name: string): (options?: ModelOptions) => nn.Module {
  const found = architectures.get(name)
  if (!found) throw new CheckpointError(`the model is a ${name}, which is not known here`)
  return (options = {}) => found(options)
}

/** Makes an {@link Architecture} from its parts. */
export function architecture<Options extends ModelOptions, Model extends nn.Module>(
  definition: Definition<Options, Model>,
): Architecture<Options, Model> {
  const { name, build, cut, split, stats = imagenetStats } = definition
  const known: string[] = ['numClasses', 'pretrained', 'weights', ...(definition.options ?? [])]
  const make = (options: Options = {} as Options): Model => {
    checkOptions(name, options, known)
    const file = weightsFileSync(name, options)
    const model = build(options)
    if (file !== undefined) loadWeightsSync(model, file, { skip: ofOtherClasses(name, model, options) })
    const { pretrained, weights, ...built } = options
    return describeAs(model, { kind: 'architecture', name, options: built })
  }
  architectures.set(name, make as unknown as (options: ModelOptions) => nn.Module)
  Object.defineProperty(make, 'name', { value: name })
  return Object.assign(make, { cut, split, stats })
}

/** Whether a name in the state dict is of the last layer, where published weights tell other classes apart. */
function ofOtherClasses(
  name: string,
  model: nn.Module,
  { weights, numClasses }: ModelOptions,
): (tensor: string) => boolean {
  const published = weights === undefined ? pretrainedWeights(name).classes.length : numClasses
  if (numClasses === undefined || numClasses === published) return () => false
  const last = model
    .namedParameters()
    .at(-1)![0]
    .replace(/[^.]*$/, '')
  return (tensor) => tensor.startsWith(last)
}

/**
 * The file of trained weights that options ask for, undefined if they ask for none.
 * @throws ConfigError if trained weights are wanted and there is no file to take them from
 */
export function weightsFileSync(name: string, options: ModelOptions): string | undefined {
  return wantsPretrained(name, options) ? fetchWeightsSync(name) : options.weights
}

/** As {@link weightsFileSync}, and does not block while a file is fetched. */
export async function weightsFile(name: string, options: ModelOptions): Promise<string | undefined> {
  return wantsPretrained(name, options) ? await fetchWeights(name) : options.weights
}

/** Whether published weights are wanted, which are downloaded unless they are in the cache. */
function wantsPretrained(name: string, { pretrained, weights }: ModelOptions): boolean {
  if (weights !== undefined && pretrained === false) {
    throw new ConfigError(
      `${name}: pretrained: false contradicts weights: '${weights}'; leave one of them out`,
    )
  }
  if (weights !== undefined || !pretrained) return false
  if (hasPretrained(name)) return true
  throw new ConfigError(
    `${name}: pretrained: true needs a file of trained weights, as { weights: '${name}.pth' } ` +
      '(no published ones are known). For random weights pass pretrained: false',
  )
}

function checkOptions(name: string, options: ModelOptions, known: readonly string[]): void {
  const unknown = Object.keys(options).filter((key) => !known.includes(key))
  if (unknown.length > 0) {
    throw new ConfigError(
      `${name}: unknown option ${unknown.join(', ')}; the options are ${known.join(', ')}`,
    )
  }
  const { numClasses } = options
  if (numClasses !== undefined && !(Number.isSafeInteger(numClasses) && numClasses > 0)) {
    throw new ConfigError(`${name}: numClasses must be a positive integer, got ${String(numClasses)}`)
  }
}
