import { addon, guarded } from '../addon.ts'
import { requireOptions, show } from '../check.ts'
import { deviceNumber } from '../device.ts'
import { dtypeCode } from '../dtype.ts'
import { ConfigError } from '../errors.ts'
import { requireChangeable } from '../inPlace.ts'
import { addMethods } from '../methods.ts'
import { call, callInPlace, callOn } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { empty, type Shape, TENSOR_OPTIONS, type TensorOptions } from './create.ts'
import { overwritten } from './fill.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** Fills with uniform numbers in [from, to). In place. */
    uniform_(from?: number, to?: number): this
    /** Fills with normal numbers. In place. */
    normal_(mean?: number, std?: number): this
    /** Fills with 1 (with the given probability) and 0. In place. */
    bernoulli_(probability?: number): this
  }
}

/**
 * Seeds the generator. The same seed gives PyTorch's CPU numbers: `manualSeed(42); randn([3, 5])` equals
 * `torch.manual_seed(42); torch.randn(3, 5)`.
 */
export function manualSeed(seed: number | bigint): void {
  if (typeof seed !== 'bigint' && !Number.isSafeInteger(seed)) {
    throw new ConfigError(`manualSeed: expected an integer, got ${show(seed)}`)
  }
  addon.manualSeed(BigInt.asUintN(64, BigInt(seed)))
}

/** The generator's whole state, in the layout of `torch.get_rng_state()`. */
export function getRngState(): Uint8Array {
  return addon.generatorState()
}

/** Puts back what `getRngState` gave. */
export function setRngState(state: Uint8Array): void {
  if (!(state instanceof Uint8Array)) {
    throw new ConfigError(`setRngState: expected what getRngState gave (a Uint8Array), got ${show(state)}`)
  }
  guarded(() => addon.setGeneratorState(state))
}

function filled(shape: Shape, options: TensorOptions, fill: (out: Tensor) => void): Tensor {
  requireOptions('random numbers', options, TENSOR_OPTIONS)
  const out = empty(shape, { ...options, requiresGrad: false })
  fill(out)
  return options.requiresGrad ? out.requiresGrad_() : out
}

/** Uniform numbers in [0, 1). */
export function rand(shape: Shape, options: TensorOptions = {}): Tensor {
  return filled(shape, options, (out) => callInPlace('uniform_', out, 0, 1))
}

/** Normal numbers of mean 0 and variance 1. */
export function randn(shape: Shape, options: TensorOptions = {}): Tensor {
  return filled(shape, options, (out) => callInPlace('normal_', out, 0, 1))
}

/** `randint(high, shape)` or `randint(low, high, shape)`: integers in [low, high), int64 by default. */
export function randint(
  lowOrHigh: number,
  highOrShape: number | readonly number[],
  shapeOrOptions?: Shape | TensorOptions,
  options: TensorOptions = {},
): Tensor {
  const short = typeof highOrShape !== 'number'
  const low = short ? 0 : lowOrHigh
  const high = short ? lowOrHigh : highOrShape
  const shape = (short ? highOrShape : shapeOrOptions) as Shape
  const settings = (short ? (shapeOrOptions as TensorOptions | undefined) : options) ?? {}
  if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high)) {
    throw new ConfigError(`randint: the limits must be integers, got ${show(low)} and ${show(high)}`)
  }
  return filled(shape, { ...settings, dtype: settings.dtype ?? 'int64' }, (out) =>
    callInPlace('random_', out, low, high),
  )
}

/** The numbers 0 … count - 1 in random order, int64. */
export function randperm(count: number, options: TensorOptions = {}): Tensor {
  requireOptions('randperm', options, TENSOR_OPTIONS)
  const out = callOn(deviceNumber(options.device), 'randperm', count)
  return options.dtype && options.dtype !== 'int64' ? call('to_dtype', out, dtypeCode(options.dtype)) : out
}

addMethods({
  uniform_(from = 0, to = 1) {
    requireChangeable('uniform_', this)
    callInPlace('uniform_', this, from, to)
    overwritten('uniform_', this)
    return this
  },
  normal_(mean = 0, std = 1) {
    requireChangeable('normal_', this)
    callInPlace('normal_', this, mean, std)
    overwritten('normal_', this)
    return this
  },
  bernoulli_(probability = 0.5) {
    requireChangeable('bernoulli_', this)
    callInPlace('bernoulli_', this, probability)
    overwritten('bernoulli_', this)
    return this
  },
})
