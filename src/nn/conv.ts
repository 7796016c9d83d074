import { ConfigError } from '../engine/errors.ts'
import { conv2d, type Tensor, zeros } from '../engine/index.ts'
import { calculateFanInAndFanOut, kaimingUniform_, uniform_ } from './init.ts'
import { Module } from './Module.ts'
import { type Pair, pair, positiveInteger, rejectUnknownOptions } from './options.ts'
import { Parameter } from './Parameter.ts'
import { reprValue } from './repr.ts'

/** Options of {@link Conv2d} next to its kernel size. */
export interface ConvOptions {
  /** Step between windows. Default 1. */
  stride?: Pair
  /** Zeros added on each side. Default 0. */
  padding?: Pair
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

const convOptionNames = ['stride', 'padding', 'dilation', 'groups', 'bias']

/**
 * Cross-correlation over pictures: `[N, inChannels, H, W]` to `[N, outChannels, H', W']` with
 * H' = ⌊(H + 2·padding - dilation·(kernel - 1) - 1) / stride⌋ + 1. `weight` is `[outChannels, inChannels / groups, kernel,
 * kernel]`; both it and `bias` start uniform in ±1/√fanIn, drawn in PyTorch's order.
 *
 * @example new nn.Conv2d(3, 6, 5)
 * @example new nn.Conv2d(3, 64, 7, { stride: 2, padding: 3, bias: false })
 * @example new nn.Conv2d(3, 64, { kernelSize: [3, 5], groups: 1 })
 */
export class Conv2d extends Module {
  readonly inChannels: number
  readonly outChannels: number
  readonly kernelSize: readonly [number, number]
  readonly stride: readonly [number, number]
  readonly padding: readonly [number, number]
  readonly dilation: readonly [number, number]
  readonly groups: number
  weight: Parameter
  bias: Parameter | null

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options?: ConvOptions)
  constructor(inChannels: number, outChannels: number, options: Conv2dOptions)
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSizeOrOptions: Pair | Conv2dOptions,
    optionsAfterKernel: ConvOptions = {},
  ) {
    super()
    const { kernelSize, ...options } = withKernelSize('Conv2d', kernelSizeOrOptions, optionsAfterKernel)
    rejectUnknownOptions('Conv2d', options, convOptionNames)
    this.inChannels = positiveInteger(inChannels, 'Conv2d', 'inChannels')
    this.outChannels = positiveInteger(outChannels, 'Conv2d', 'outChannels')
    this.kernelSize = pair(kernelSize, 'Conv2d', 'kernelSize', 1)
    this.stride = pair(options.stride ?? 1, 'Conv2d', 'stride', 1)
    this.padding = pair(options.padding ?? 0, 'Conv2d', 'padding', 0)
    this.dilation = pair(options.dilation ?? 1, 'Conv2d', 'dilation', 1)
    this.groups = positiveInteger(options.groups ?? 1, 'Conv2d', 'groups')
    checkGroups('Conv2d', this.groups, inChannels, outChannels)
    this.weight = new Parameter(zeros([outChannels, inChannels / this.groups, ...this.kernelSize]))
    this.bias = (options.bias ?? true) ? new Parameter(zeros([outChannels])) : null
    this.resetParameters()
  }

  /** Draws new starting values. */
  resetParameters(): void {
    kaimingUniform_(this.weight, { a: Math.sqrt(5) })
    if (this.bias) {
      const bound = 1 / Math.sqrt(calculateFanInAndFanOut(this.weight).fanIn)
      uniform_(this.bias, -bound, bound)
    }
  }

  override forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, {
      stride: this.stride,
      padding: this.padding,
      dilation: this.dilation,
      groups: this.groups,
    })
  }

  override extraRepr(): string {
    const fields = [
      `${this.inChannels}, ${this.outChannels}`,
      `kernel_size=${reprValue(this.kernelSize)}`,
      `stride=${reprValue(this.stride)}`,
    ]
    if (this.padding.some((size) => size !== 0)) fields.push(`padding=${reprValue(this.padding)}`)
    if (this.dilation.some((size) => size !== 1)) fields.push(`dilation=${reprValue(this.dilation)}`)
    if (this.groups !== 1) fields.push(`groups=${this.groups}`)
    if (!this.bias) fields.push('bias=False')
    return fields.join(', ')
  }
}

/** Both ways of calling end as one options object. */
function withKernelSize<Options extends object>(
  owner: string,
  first: Pair | (Options & { kernelSize: Pair }),
  rest: Options,
): Options & { kernelSize: Pair } {
  if (typeof first === 'number' || Array.isArray(first)) return { ...rest, kernelSize: first as Pair }
  if (first !== null && typeof first === 'object' && 'kernelSize' in first) return first
  throw new ConfigError(
    `${owner}: needs a kernel size, as ${owner}(3, 16, 5) or ${owner}(3, 16, { kernelSize: 5 })`,
  )
}

function checkGroups(owner: string, groups: number, inChannels: number, outChannels: number): void {
  if (inChannels % groups !== 0 || outChannels % groups !== 0) {
    throw new ConfigError(
      `${owner}: inChannels (${inChannels}) and outChannels (${outChannels}) must be multiples of groups (${groups})`,
    )
  }
}
