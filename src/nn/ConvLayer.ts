import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'
import { zeros } from '../engine/index.ts'
import { calculateFanInAndFanOut, kaimingUniform_, uniform_ } from './init.ts'
import { Module } from './Module.ts'
import { positiveInteger, rejectUnknownOptions } from './options.ts'
import { Parameter } from './Parameter.ts'
import { reprValue } from './repr.ts'

/** One number for all directions, or one each. */
type Extent = number | readonly number[]

/** Options as the layers of one and of two dimensions share them. */
interface ConvLayerOptions {
  kernelSize: Extent
  stride?: Extent | undefined
  padding?: Extent | 'same' | 'valid' | undefined
  outputPadding?: Extent | undefined
  dilation?: Extent | undefined
  groups?: number | undefined
  bias?: boolean | undefined
}

const optionNames = ['stride', 'padding', 'dilation', 'groups', 'bias']

/** What the convolutions share: their sizes, and a weight and a bias that start as PyTorch's do, in its order of draws. */
export abstract class ConvLayer<Size extends readonly number[]> extends Module {
  readonly inChannels: number
  readonly outChannels: number
  readonly kernelSize: Size
  readonly stride: Size
  readonly dilation: Size
  readonly groups: number
  weight: Parameter
  bias: Parameter | null

  constructor(
    dims: number,
    transposed: boolean,
    inChannels: number,
    outChannels: number,
    { kernelSize, ...options }: ConvLayerOptions,
  ) {
    super()
    const owner = this.constructor.name
    rejectUnknownOptions(owner, options, transposed ? [...optionNames, 'outputPadding'] : optionNames)
    this.inChannels = positiveInteger(inChannels, owner, 'inChannels')
    this.outChannels = positiveInteger(outChannels, owner, 'outChannels')
    this.kernelSize = perDirection<Size>(dims, kernelSize, owner, 'kernelSize', 1)
    this.stride = perDirection<Size>(dims, options.stride ?? 1, owner, 'stride', 1)
    this.dilation = perDirection<Size>(dims, options.dilation ?? 1, owner, 'dilation', 1)
    this.groups = positiveInteger(options.groups ?? 1, owner, 'groups')
    checkGroups(owner, this.groups, inChannels, outChannels)
    const [first, second] = transposed ? [inChannels, outChannels] : [outChannels, inChannels]
    this.weight = new Parameter(zeros([first, second / this.groups, ...this.kernelSize]))
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

  protected represent(padding: Size | string, outputPadding?: Size): string {
    const fields = [
      `${this.inChannels}, ${this.outChannels}`,
      `kernel_size=${reprValue(this.kernelSize)}`,
      `stride=${reprValue(this.stride)}`,
    ]
    if (typeof padding === 'string' || padding.some((size) => size !== 0)) {
      fields.push(`padding=${reprValue(padding)}`)
    }
    if (this.dilation.some((size) => size !== 1)) fields.push(`dilation=${reprValue(this.dilation)}`)
    if (outputPadding?.some((size) => size !== 0)) fields.push(`output_padding=${reprValue(outputPadding)}`)
    if (this.groups !== 1) fields.push(`groups=${this.groups}`)
    if (!this.bias) fields.push('bias=False')
    return fields.join(', ')
  }
}

/** Expands one number, checking that all are integers of at least `minimum`. */
export function perDirection<Size extends readonly number[]>(
  dims: number,
  value: Extent,
  owner: string,
  name: string,
  minimum: number,
): Size {
  const list: unknown = typeof value === 'number' ? Array.from({ length: dims }, () => value) : value
  const valid =
    Array.isArray(list) && list.length === dims && list.every((v) => Number.isInteger(v) && v >= minimum)
  if (!valid) {
    throw new ConfigError(
      `${owner}: ${name} must be an integer of at least ${minimum}, or a list of ${dims} of them, got ` +
        show(value),
    )
  }
  return [...list] as unknown as Size
}

/** As perDirection, but 'same' and 'valid' stay as they are. */
export function paddingOf<Size extends readonly number[]>(
  dims: number,
  value: Extent | 'same' | 'valid',
  owner: string,
  stride: Size,
): Size | 'same' | 'valid' {
  if (typeof value !== 'string') return perDirection<Size>(dims, value, owner, 'padding', 0)
  if (value !== 'same' && value !== 'valid') {
    throw new ConfigError(`${owner}: padding must be numbers, 'same' or 'valid', got '${value}'`)
  }
  if (value === 'same' && stride.some((step) => step !== 1)) {
    throw new ConfigError(`${owner}: padding 'same' needs a stride of 1, got [${stride.join(', ')}]`)
  }
  return value
}

/** Both ways of calling end as one options object. */
export function withKernelSize<Options extends object, Kernel extends Extent>(
  owner: string,
  first: Kernel | (Options & { kernelSize: Kernel }),
  rest: Options,
): Options & { kernelSize: Kernel } {
  if (typeof first === 'number' || Array.isArray(first)) return { ...rest, kernelSize: first as Kernel }
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
