import { CheckpointError } from '../engine/errors.ts'
import { getRngState, setRngState } from '../engine/index.ts'
import { sequentialOf } from '../nn/containers.ts'
import * as nn from '../nn/index.ts'
import type { AnyModule } from './layerGroups.ts'

/** A model as data: what it takes to make one like it, without its weights. */
export type ModelDescription = { readonly kind: string } & Readonly<Record<string, unknown>>

const descriptions = new WeakMap<object, ModelDescription>()
const builders = new Map<string, (description: never) => nn.Module>()

/**
 * Says how models of a kind are made anew from their description; see {@link describeAs}. What comes in was read from a file and must
 * be checked by the builder.
 */
export function registerModelKind<Description extends ModelDescription>(
  kind: string,
  build: (description: Description) => nn.Module,
): void {
  builders.set(kind, build)
}

/** Notes what `model` was made of, so that `learner.export` can write it down. Returns the model. */
export function describeAs<Model extends object>(model: Model, description: ModelDescription): Model {
  descriptions.set(model, description)
  return model
}

/** What was noted of a model, if anything; it may have been changed since. */
export function notedDescription(model: object): ModelDescription | undefined {
  return descriptions.get(model)
}

/**
 * What `model` is made of: layers of `nn`, alone and in Sequentials, and models that were noted with {@link describeAs}. Undefined for
 * models of one's own, and for models that were changed since.
 */
export function describeModel(model: AnyModule): ModelDescription | undefined {
  const description = describe(model)
  if (!description) return undefined
  try {
    return sameModel(model, buildModel(description)) ? description : undefined
  } catch {
    return undefined // Its parts do not make it up.
  }
}

function sameModel(a: AnyModule, b: nn.Module): boolean {
  const shapes = (model: AnyModule) => {
    const state = model.stateDict()
    const list = Object.entries(state).map(([name, { shape }]) => `${name} ${shape.join()}`)
    for (const alias of Object.values(state)) alias[Symbol.dispose]()
    return list.join()
  }
  return String(a) === String(b) && shapes(a) === shapes(b)
}

/**
 * A model whose weights are still to be loaded: none are drawn.
 * @throws CheckpointError for kinds and layers that are not known
 */
export function buildModel(description: ModelDescription): nn.Module {
  const random = getRngState()
  try {
    return nn.init.skipInit(() => build(description))
  } finally {
    setRngState(random) // for models of one's own that draw by themselves
  }
}

/** Fields that a layer's constructor takes, one after the other, and those that are its options. */
const layers: Readonly<Record<string, readonly [positional: readonly string[], options: readonly string[]]>> =
  {
    Linear: [['inFeatures', 'outFeatures'], ['bias']],
    Conv1d: [
      ['inChannels', 'outChannels', 'kernelSize'],
      ['stride', 'padding', 'dilation', 'groups', 'bias'],
    ],
    Conv2d: [
      ['inChannels', 'outChannels', 'kernelSize'],
      ['stride', 'padding', 'dilation', 'groups', 'bias'],
    ],
    ConvTranspose1d: [
      ['inChannels', 'outChannels', 'kernelSize'],
      ['stride', 'padding', 'outputPadding', 'dilation', 'groups', 'bias'],
    ],
    ConvTranspose2d: [
      ['inChannels', 'outChannels', 'kernelSize'],
      ['stride', 'padding', 'outputPadding', 'dilation', 'groups', 'bias'],
    ],
    BatchNorm1d: [['numFeatures'], ['eps', 'momentum', 'affine', 'trackRunningStats']],
    BatchNorm2d: [['numFeatures'], ['eps', 'momentum', 'affine', 'trackRunningStats']],
    LayerNorm: [['normalizedShape'], ['eps', 'elementwiseAffine']],
    GroupNorm: [
      ['numGroups', 'numChannels'],
      ['eps', 'affine'],
    ],
    Dropout: [['p'], []],
    Dropout2d: [['p'], []],
    MaxPool2d: [['kernelSize'], ['stride', 'padding', 'dilation', 'ceilMode']],
    AvgPool2d: [['kernelSize'], ['stride', 'padding', 'ceilMode', 'countIncludePad']],
    AdaptiveAvgPool2d: [['outputSize'], []],
    AdaptiveMaxPool2d: [['outputSize'], []],
    AdaptiveConcatPool2d: [['outputSize'], []],
    Embedding: [['numEmbeddings', 'embeddingDim'], ['paddingIdx']],
    Upsample: [[], ['size', 'scaleFactor', 'mode', 'alignCorners', 'recomputeScaleFactor']],
    PixelShuffle: [['upscaleFactor'], []],
    PixelUnshuffle: [['downscaleFactor'], []],
    ReflectionPad2d: [['padding'], []],
    ReplicationPad2d: [['padding'], []],
    ZeroPad2d: [['padding'], []],
    Flatten: [['startDim', 'endDim'], []],
    Softmax: [['dim'], []],
    LogSoftmax: [['dim'], []],
    LeakyReLU: [['negativeSlope'], []],
    ReLU: [[], []],
    ReLU6: [[], []],
    GELU: [[], []],
    SiLU: [[], []],
    Sigmoid: [[], []],
    Tanh: [[], []],
    Identity: [[], []],
  }

const layerClass = (name: string) =>
  (nn as unknown as Record<string, new (...values: unknown[]) => nn.Module>)[name]

function describe(model: AnyModule): ModelDescription | undefined {
  const noted = descriptions.get(model)
  if (noted) return noted
  const { name } = model.constructor
  if (model.constructor === nn.Sequential) {
    const children = (model as unknown as nn.Sequential)
      .namedChildren({ repeated: true })
      .map(([child, module]) => [child, describe(module)] as const)
    return children.every(([, child]) => child) ? { kind: 'Sequential', children } : undefined
  }
  if (!Object.hasOwn(layers, name) || model.constructor !== layerClass(name)) return undefined
  const fields = model as unknown as Record<string, unknown>
  // What is a parameter in the layer is, in the options, whether there is one.
  const value = (field: string) => (field === 'bias' ? fields.bias !== null : fields[field])
  const [positional, options] = layers[name]!
  return {
    kind: 'layer',
    name,
    values: positional.map(value),
    options: Object.fromEntries(
      options.map((field) => [field, value(field)]).filter(([, given]) => given !== undefined),
    ),
  }
}

function build(description: ModelDescription): nn.Module {
  const { kind } = description
  if (kind === 'Sequential') {
    const children = description.children as [string, ModelDescription][]
    return sequentialOf(children.map(([name, child]) => [name, build(child)]))
  }
  if (kind === 'layer') {
    const { name, values, options } = description as ModelDescription & {
      name: string
      values: unknown[]
      options: object
    }
    if (!Object.hasOwn(layers, name))
      throw new CheckpointError(`the model has a layer ${name}, which is not known here`)
    const takesOptions = layers[name]![1].length > 0
    return new (layerClass(name)!)(...values, ...(takesOptions ? [options] : []))
  }
  const builder = builders.get(kind)
  if (!builder) throw new CheckpointError(`the model is of the kind ${kind}, which is not known here`)
  return builder(description as never)
}
