import { conv1d, conv2d, type Tensor } from '../engine/index.ts'
import { ConvLayer, paddingOf, withKernelSize } from './ConvLayer.ts'
import type { Pair } from './options.ts'

/** Options of {@link Conv2d} next to its kernel size. */
export interface ConvOptions {
  /** Step between windows. Default 1. */
  stride?: Pair
  /** Zeros added on each side; 'same' for as many as keep the size (with a stride of 1), 'valid' for none. Default 0. */
  padding?: Pair | 'same' | 'valid'
  /** Distance between the points of the kernel. Default 1. */
  dilation?: Pair
  /** Blocks of channels that are convolved apart. Default 1. */
  groups?: number
  /** Adds a learnt bias. Default true. */
  bias?: boolean
}

export interface Conv2dOptions extends ConvOptions {
  /** Size of the window. */
  kernelSize: Pair
}

/**
 * Cross-correlation over pictures: `[N, inChannels, H, W]` (or one picture, without N) to `[N, outChannels, H', W']` with
 * H' = ⌊(H + 2·padding - dilation·(kernel - 1) - 1) / stride⌋ + 1. `weight` is `[outChannels, inChannels / groups, kernel,
 * kernel]`; both it and `bias` start uniform in ±1/√fanIn, drawn in PyTorch's order.
 *
 * @example new nn.Conv2d(3, 6, 5)
 * @example new nn.Conv2d(3, 64, 7, { stride: 2, padding: 3, bias: false })
 * @example new nn.Conv2d(3, 64, { kernelSize: [3, 5], padding: 'same' })
 */
export class Conv2d extends ConvLayer<readonly [number, number]> {
  readonly padding: readonly [number, number] | 'same' | 'valid'

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options?: ConvOptions)
  constructor(inChannels: number, outChannels: number, options: Conv2dOptions)
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSizeOrOptions: Pair | Conv2dOptions,
    optionsAfterKernel: ConvOptions = {},
  ) {
    const options = withKernelSize<ConvOptions, Pair>('Conv2d', kernelSizeOrOptions, optionsAfterKernel)
    super(2, false, inChannels, outChannels, options)
    this.padding = paddingOf(2, options.padding ?? 0, this.constructor.name, this.stride)
  }

  override forward(x: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this
    return conv2d(x, this.weight, this.bias, { stride, padding, dilation, groups })
  }

  override extraRepr(): string {
    return this.represent(this.padding)
  }
}

/** One number, or a list of it. */
export type Single = number | readonly [number]

/** Options of {@link Conv1d} next to its kernel size. */
export interface Conv1dOptions {
  /** Step between windows. Default 1. */
  stride?: Single
  /** Zeros added on each side; 'same' for as many as keep the length (with a stride of 1), 'valid' for none. Default 0. */
  padding?: Single | 'same' | 'valid'
  /** Distance between the points of the kernel. Default 1. */
  dilation?: Single
  /** Blocks of channels that are convolved apart. Default 1. */
  groups?: number
  /** Adds a learnt bias. Default true. */
  bias?: boolean
}

/**
 * Cross-correlation over sequences: `[N, inChannels, L]` (or one, without N) to `[N, outChannels, L']`, as {@link Conv2d}
 * in one direction. `weight` is `[outChannels, inChannels / groups, kernel]`.
 *
 * @example new nn.Conv1d(16, 32, 3, { padding: 'same' })
 */
export class Conv1d extends ConvLayer<readonly [number]> {
  readonly padding: readonly [number] | 'same' | 'valid'

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Single | (Conv1dOptions & { kernelSize: Single }),
    optionsAfterKernel: Conv1dOptions = {},
  ) {
    const options = withKernelSize<Conv1dOptions, Single>('Conv1d', kernelSize, optionsAfterKernel)
    super(1, false, inChannels, outChannels, options)
    this.padding = paddingOf(1, options.padding ?? 0, this.constructor.name, this.stride)
  }

  override forward(x: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this
    return conv1d(x, this.weight, this.bias, { stride, padding, dilation, groups })
  }

  override extraRepr(): string {
    return this.represent(this.padding)
  }
}
