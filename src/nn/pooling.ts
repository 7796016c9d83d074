import { ConfigError } from '../engine/errors.ts'
import {
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  avgPool2d,
  cat,
  maxPool2d,
  type Tensor,
} from '../engine/index.ts'
import { Module } from './Module.ts'
import { type Pair, pair, rejectUnknownOptions } from './options.ts'
import { reprFields } from './repr.ts'

export interface MaxPoolOptions {
  /** Step between windows. Default: the kernel size. */
  stride?: Pair
  /** Border on each side, which never wins; at most half the kernel. Default 0. */
  padding?: Pair
  /** Distance between the points of the window. Default 1. */
  dilation?: Pair
  /** Rounds the output size up instead of down. Default false. */
  ceilMode?: boolean
}

export interface AvgPoolOptions {
  /** Step between windows. Default: the kernel size. */
  stride?: Pair
  /** Zeros added on each side; at most half the kernel. Default 0. */
  padding?: Pair
  /** Rounds the output size up instead of down. Default false. */
  ceilMode?: boolean
  /** Counts the padding in the mean. Default true. */
  countIncludePad?: boolean
}

function kernelAndOptions<Options extends object>(
  owner: string,
  first: Pair | (Options & { kernelSize: Pair }),
  rest: Options,
  known: readonly string[],
): { kernelSize: Pair; options: Options } {
  const joined =
    typeof first === 'number' || Array.isArray(first) ? { ...rest, kernelSize: first as Pair } : first
  if (joined === null || typeof joined !== 'object' || !('kernelSize' in joined)) {
    throw new ConfigError(`${owner}: needs a kernel size, as ${owner}(2) or ${owner}({ kernelSize: 2 })`)
  }
  const { kernelSize, ...options } = joined as Options & { kernelSize: Pair }
  rejectUnknownOptions(owner, options, known)
  pair(kernelSize, owner, 'kernelSize', 1)
  return { kernelSize, options: options as unknown as Options }
}

const asWritten = (value: Pair): number | readonly number[] => value

/** Largest value of each window, `[N, C, H, W]` to `[N, C, H', W']`. `new nn.MaxPool2d(3, { stride: 2, padding: 1 })`. */
export class MaxPool2d extends Module {
  readonly kernelSize: Pair
  readonly stride: Pair
  readonly padding: Pair
  readonly dilation: Pair
  readonly ceilMode: boolean

  constructor(kernelSize: Pair | (MaxPoolOptions & { kernelSize: Pair }), options: MaxPoolOptions = {}) {
    super()
    const known = ['stride', 'padding', 'dilation', 'ceilMode']
    const given = kernelAndOptions('MaxPool2d', kernelSize, options, known)
    this.kernelSize = given.kernelSize
    this.stride = given.options.stride ?? given.kernelSize
    this.padding = given.options.padding ?? 0
    this.dilation = given.options.dilation ?? 1
    this.ceilMode = given.options.ceilMode ?? false
    pair(this.stride, 'MaxPool2d', 'stride', 1)
    pair(this.padding, 'MaxPool2d', 'padding', 0)
    pair(this.dilation, 'MaxPool2d', 'dilation', 1)
  }

  override forward(x: Tensor): Tensor {
    const { stride, padding, dilation, ceilMode } = this
    return maxPool2d(x, this.kernelSize, { stride, padding, dilation, ceilMode })
  }

  override extraRepr(): string {
    return reprFields({
      kernel_size: asWritten(this.kernelSize),
      stride: asWritten(this.stride),
      padding: asWritten(this.padding),
      dilation: asWritten(this.dilation),
      ceil_mode: this.ceilMode,
    })
  }
}

/** Mean of each window, `[N, C, H, W]` to `[N, C, H', W']`. */
export class AvgPool2d extends Module {
  readonly kernelSize: Pair
  readonly stride: Pair
  readonly padding: Pair
  readonly ceilMode: boolean
  readonly countIncludePad: boolean

  constructor(kernelSize: Pair | (AvgPoolOptions & { kernelSize: Pair }), options: AvgPoolOptions = {}) {
    super()
    const known = ['stride', 'padding', 'ceilMode', 'countIncludePad']
    const given = kernelAndOptions('AvgPool2d', kernelSize, options, known)
    this.kernelSize = given.kernelSize
    this.stride = given.options.stride ?? given.kernelSize
    this.padding = given.options.padding ?? 0
    this.ceilMode = given.options.ceilMode ?? false
    this.countIncludePad = given.options.countIncludePad ?? true
    pair(this.stride, 'AvgPool2d', 'stride', 1)
    pair(this.padding, 'AvgPool2d', 'padding', 0)
  }

  override forward(x: Tensor): Tensor {
    const { stride, padding, ceilMode, countIncludePad } = this
    return avgPool2d(x, this.kernelSize, { stride, padding, ceilMode, countIncludePad })
  }

  override extraRepr(): string {
    return reprFields({
      kernel_size: asWritten(this.kernelSize),
      stride: asWritten(this.stride),
      padding: asWritten(this.padding),
    })
  }
}

/** What the adaptive layers share: windows chosen so that the output is `[N, C, …outputSize]` for whatever input. */
abstract class AdaptivePool2d extends Module {
  readonly outputSize: Pair

  constructor(outputSize: Pair) {
    super()
    pair(outputSize, this.constructor.name, 'outputSize', 1)
    this.outputSize = outputSize
  }

  override extraRepr(): string {
    return reprFields({ output_size: asWritten(this.outputSize) })
  }
}

/** Means over windows that give `outputSize` for whatever input size: `AdaptiveAvgPool2d(1)` is the global average. */
export class AdaptiveAvgPool2d extends AdaptivePool2d {
  override forward(x: Tensor): Tensor {
    return adaptiveAvgPool2d(x, this.outputSize)
  }
}

/** Largest values over windows that give `outputSize` for whatever input size. */
export class AdaptiveMaxPool2d extends AdaptivePool2d {
  override forward(x: Tensor): Tensor {
    return adaptiveMaxPool2d(x, this.outputSize)
  }
}

/** Adaptive max pooling and adaptive average pooling side by side, in this order: `[N, C, H, W]` to `[N, 2C, …]` (fastai). */
export class AdaptiveConcatPool2d extends AdaptivePool2d {
  ap: AdaptiveAvgPool2d
  mp: AdaptiveMaxPool2d

  constructor(outputSize: Pair = 1) {
    super(outputSize)
    this.ap = new AdaptiveAvgPool2d(outputSize)
    this.mp = new AdaptiveMaxPool2d(outputSize)
  }

  override forward(x: Tensor): Tensor {
    return cat([this.mp.forward(x), this.ap.forward(x)], 1)
  }
}
