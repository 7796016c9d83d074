import { ConfigError } from '../engine/errors.ts'
import * as nn from '../nn/index.ts'

/** Any module, whatever its `forward` takes and gives. */
export interface AnyModule
  extends Pick<
    nn.Module,
    | 'training'
    | 'children'
    | 'modules'
    | 'parameters'
    | 'namedParameters'
    | 'ownParameters'
    | 'buffers'
    | 'stateDict'
    | 'loadStateDict'
    | 'summary'
  > {
  // Not of `Pick`, which would make of `this` a module with one input.
  train(mode?: boolean): unknown
  eval(): unknown
  to(target: string): unknown
  forward(...inputs: never[]): unknown
}

/**
 * Where a model is cut into layer groups: modules before which to cut; or the modules of each group; or a function that tells
 * either of the model.
 */
export type Split = readonly AnyModule[] | readonly (readonly AnyModule[])[]

/** Stands for a parameter that belongs to no leaf: a module with children of its own holds it directly. */
class ParameterModule extends nn.Module {
  readonly parameter: nn.Parameter

  constructor(parameter: nn.Parameter) {
    super()
    this.parameter = parameter
  }
}

/** The modules without children, depth first, each once; parameters held by other modules come after those modules' leaves. */
export function leavesOf(...modules: readonly AnyModule[]): nn.Module[] {
  const leaves = new Set<nn.Module>()
  const seen = new Set<AnyModule>()
  const visit = (module: AnyModule): void => {
    if (seen.has(module)) return
    seen.add(module)
    const children = module.children()
    if (children.length === 0) leaves.add(module as unknown as nn.Module)
    for (const child of children) visit(child)
    if (children.length > 0) {
      for (const [, parameter] of module.ownParameters()) leaves.add(new ParameterModule(parameter))
    }
  }
  for (const module of modules) visit(module)
  return [...leaves]
}

/**
 * Cuts a model into layer groups, each a Sequential of leaf modules.
 * @throws ConfigError if a module to cut at is not in the model, or the groups leave parameters out
 */
export function splitModel(model: AnyModule, split: Split): nn.Sequential[] {
  if (!Array.isArray(split) || split.length === 0) {
    throw new ConfigError(
      'a split is a list of modules to cut before, or a list of lists of modules, and not empty',
    )
  }
  const lists = split.every((entry) => entry instanceof nn.Module)
    ? cutBefore(leavesOf(model), split as readonly AnyModule[])
    : (split as readonly (readonly AnyModule[])[]).map((group) => leavesOf(...group))
  const groups = lists.map((leaves) => new nn.Sequential(...leaves))
  checkComplete(model, groups)
  return groups
}

function cutBefore(leaves: readonly nn.Module[], modules: readonly AnyModule[]): nn.Module[][] {
  const cuts = modules.map((module) => {
    const index = leaves.indexOf(leavesOf(module)[0]!)
    if (index < 0)
      throw new ConfigError(
        `the model cannot be cut before a ${module.constructor.name} that is not part of it`,
      )
    return index
  })
  if (cuts.some((cut, i) => i > 0 && cut <= cuts[i - 1]!)) {
    throw new ConfigError(
      `modules to cut before must be given in the order of the model, got leaves ${cuts.join(', ')}`,
    )
  }
  if (cuts[0] !== 0) cuts.unshift(0)
  return cuts.map((cut, i) => leaves.slice(cut, cuts[i + 1]))
}

function checkComplete(model: AnyModule, groups: readonly nn.Sequential[]): void {
  const grouped = new Set(groups.flatMap((group) => group.parameters()))
  const left = model.namedParameters().filter(([, parameter]) => !grouped.has(parameter))
  if (left.length === 0) return
  const names = left.map(([name]) => name)
  throw new ConfigError(
    `the layer groups leave out ${names.length} parameter(s) of the model: ${names.slice(0, 5).join(', ')}` +
      `${names.length > 5 ? ', …' : ''}. Put each into a group; freeze a group to leave it as it is`,
  )
}

// fastai's two lists; it leaves group norm among the rest.
const normTypes = [nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm] as const
const biasTypes = [nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d] as const

/** Whether a leaf is batch norm, which `trainBn` keeps training in frozen groups. */
export function isBatchNorm(leaf: AnyModule): boolean {
  return leaf instanceof nn.BatchNorm1d || leaf instanceof nn.BatchNorm2d
}

/**
 * The trainable parameters of a layer group in two lists, as fastai parts them: all others first, then those of batch and
 * layer norm and the biases of linear and convolution layers, which `bnWd: false` exempts from weight decay.
 *
 * @param taken parameters that an earlier group has already (tied weights belong to the first); grows
 */
export function partNormAndBias(
  group: nn.Sequential,
  taken: Set<nn.Parameter>,
): [nn.Parameter[], nn.Parameter[]] {
  const parts: [nn.Parameter[], nn.Parameter[]] = [[], []]
  for (const leaf of group) {
    const isNorm = normTypes.some((type) => leaf instanceof type)
    const bias = biasTypes.some((type) => leaf instanceof type) ? (leaf as nn.Linear).bias : null
    for (const parameter of leaf.parameters()) {
      if (!parameter.requiresGrad || taken.has(parameter)) continue
      taken.add(parameter)
      parts[isNorm || parameter === bias ? 1 : 0].push(parameter)
    }
  }
  return parts
}
