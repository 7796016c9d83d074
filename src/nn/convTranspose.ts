import { convTranspose1d, convTranspose2d, type Tensor } from '../engine/index.ts'
import { outputPaddingFor } from '../engine/ops/convTranspose.ts'
import { ConvLayer, perDirection, withKernelSize } from './ConvLayer.ts'
import type { Single } from './conv.ts'
import type { Pair } from './options.ts'

interface Options<Extent> {
  /** Step between the places where neighbouring inputs land. Default 1. */
  stride?: Extent
  /** Rows and columns cut off each side of the output. Default 0. */
  padding?: Extent
  /** Rows and columns added at the end of the output, less than the stride or the dilation. Default 0. */
  outputPadding?: Extent
  /** Distance between the points of the kernel. Default 1. */
  dilation?: Extent
  /** Blocks of channels that are convolved apart. Default 1. */
  groups?: number
  /** Adds a learnt bias. Default true. */
  bias?: boolean
}

/** Options of {@link ConvTranspose2d} next to its kernel size. */
export interface ConvTransposeOptions extends Options<Pair> {}

export interface ConvTranspose2dOptions extends ConvTransposeOptions {
  /** Size of the window. */
  kernelSize: Pair
}

/** Options of {@link ConvTranspose1d} next to its kernel size. */
export interface ConvTranspose1dOptions extends Options<Single> {}

abstract class Transposed<Size extends readonly number[]> extends ConvLayer<Size> {
  abstract readonly padding: Size
  abstract readonly outputPadding: Size

  /** The output padding that leads to `outputSize`, or the layer's own. */
  protected outputPaddingFor(x: Tensor, outputSize: readonly number[] | undefined): readonly number[] {
    if (outputSize === undefined) return this.outputPadding
    return outputPaddingFor(this.constructor.name, x.shape, outputSize, this.kernelSize, this)
  }

  override extraRepr(): string {
    return this.represent(this.padding, this.outputPadding)
  }
}

/**
 * Transposed convolution: `[N, inChannels, H, W]` (or one picture, without N) to `[N, outChannels, H', W']` with
 * H' = (H - 1)·stride - 2·padding + dilation·(kernel - 1) + outputPadding + 1. `weight` is `[inChannels, outChannels /
 * groups, kernel, kernel]`; both it and `bias` start as PyTorch's, drawn in its order.
 *
 * @example new nn.ConvTranspose2d(100, 512, 4, { bias: false })
 * @example new nn.ConvTranspose2d(64, 3, { kernelSize: 4, stride: 2, padding: 1 })   // doubles the size
 */
export class ConvTranspose2d extends Transposed<readonly [number, number]> {
  readonly padding: readonly [number, number]
  readonly outputPadding: readonly [number, number]

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options?: ConvTransposeOptions)
  constructor(inChannels: number, outChannels: number, options: ConvTranspose2dOptions)
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSizeOrOptions: Pair | ConvTranspose2dOptions,
    optionsAfterKernel: ConvTransposeOptions = {},
  ) {
    const given = withKernelSize<ConvTransposeOptions, Pair>(
      'ConvTranspose2d',
      kernelSizeOrOptions,
      optionsAfterKernel,
    )
    super(2, true, inChannels, outChannels, given)
    const owner = this.constructor.name
    this.padding = perDirection(2, given.padding ?? 0, owner, 'padding', 0)
    this.outputPadding = perDirection(2, given.outputPadding ?? 0, owner, 'outputPadding', 0)
  }

  /**
   * `outputSize` ([H', W'] or the whole shape) chooses among the sizes that fit the stride, in place of `outputPadding`.
   * @throws ShapeError for a size that cannot be had.
   */
  override forward(x: Tensor, outputSize?: readonly number[]): Tensor {
    const { stride, padding, dilation, groups } = this
    const outputPadding = this.outputPaddingFor(x, outputSize)
    return convTranspose2d(x, this.weight, this.bias, { stride, padding, outputPadding, dilation, groups })
  }
}

/**
 * Transposed convolution over sequences: `[N, inChannels, L]` (or one, without N) to `[N, outChannels, L']`, as
 * {@link ConvTranspose2d} in one direction. `weight` is `[inChannels, outChannels / groups, kernel]`.
 */
export class ConvTranspose1d extends Transposed<readonly [number]> {
  readonly padding: readonly [number]
  readonly outputPadding: readonly [number]

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Single | (ConvTranspose1dOptions & { kernelSize: Single }),
    optionsAfterKernel: ConvTranspose1dOptions = {},
  ) {
    const given = withKernelSize<ConvTranspose1dOptions, Single>(
      'ConvTranspose1d',
      kernelSize,
      optionsAfterKernel,
    )
    super(1, true, inChannels, outChannels, given)
    const owner = this.constructor.name
    this.padding = perDirection(1, given.padding ?? 0, owner, 'padding', 0)
    this.outputPadding = perDirection(1, given.outputPadding ?? 0, owner, 'outputPadding', 0)
  }

  /** `outputSize` ([L'] or the whole shape) chooses among the lengths that fit the stride, in place of `outputPadding`. */
  override forward(x: Tensor, outputSize?: readonly number[]): Tensor {
    const { stride, padding, dilation, groups } = this
    const outputPadding = this.outputPaddingFor(x, outputSize)
    return convTranspose1d(x, this.weight, this.bias, { stride, padding, outputPadding, dilation, groups })
  }
}
