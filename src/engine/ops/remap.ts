import { requireHolds, requireNumber, requireOptions, requireTensor, show } from '../check.ts'
import { dtypeCode } from '../dtype.ts'
import { ConfigError, ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call, callOn, tellOfRead } from '../native.ts'
import { Tensor } from '../tensor.ts'
import { tensor } from './create.ts'
import { integerList, requireInteger, wrapDim, wrapDims } from './dims.ts'
import { indexSelect, slice } from './indexing.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** The given dimensions in reverse order. */
    flip(...dims: [number | readonly number[], ...number[]]): Tensor
    /** Elements moved `shifts` places towards the end, those that leave entering at the front; flattened without `dims`. */
    roll(shifts: number | readonly number[], dims?: number | readonly number[]): Tensor
    /** Copies side by side: `x.repeat(2, 1)` has twice the rows. More numbers than dimensions add dimensions in front. */
    repeat(...repeats: [number | readonly number[], ...number[]]): Tensor
    /** Each element several times in a row, along a dimension or (without one) in the flattened tensor. */
    repeatInterleave(repeats: number | readonly number[] | Tensor, dim?: number): Tensor
  }
}

/** How `pad` fills the border. */
export type PadMode = 'constant' | 'reflect' | 'replicate' | 'circular'

export interface PadOptions {
  /** Default 'constant'. 'reflect' mirrors without repeating the edge, 'replicate' repeats it, 'circular' wraps around. */
  mode?: PadMode | undefined
  /** What 'constant' fills with. Default 0. */
  value?: number | undefined
}

// In the order of MapKind in native/core/ops/remap.cpp.
const mapKinds = [
  'keep',
  'flip',
  'roll',
  'constant',
  'reflect',
  'replicate',
  'circular',
  'repeat',
  'interleave',
] as const

interface AxisMap {
  kind: (typeof mapKinds)[number]
  size: number
  parameter: number
}

function columns(maps: readonly AxisMap[]): { kinds: number[]; sizes: number[]; parameters: number[] } {
  return {
    kinds: maps.map(({ kind }) => mapKinds.indexOf(kind)),
    sizes: maps.map(({ size }) => size),
    parameters: maps.map(({ parameter }) => parameter),
  }
}

function run(x: Tensor, maps: readonly AxisMap[], fill = 0): Tensor {
  const { kinds, sizes, parameters } = columns(maps)
  return call('remap', x, kinds, sizes, parameters, fill)
}

function keepAll(x: Tensor): AxisMap[] {
  return x.shape.map((size) => ({ kind: 'keep', size, parameter: 0 }))
}

// Records a map whose gradient is another map.
function withInverse(
  name: string,
  x: Tensor,
  maps: readonly AxisMap[],
  inverse: readonly AxisMap[],
  fill = 0,
): Tensor {
  return record(run(x, maps, fill), name, [x], [], (g) => [run(g, inverse)])
}

// Records a map that uses elements more than once: its gradient adds up.
function withSums(name: string, x: Tensor, maps: readonly AxisMap[]): Tensor {
  const out = run(x, maps)
  if (!isTracked([x])) return out
  const { shape } = x
  const { kinds, parameters } = columns(maps)
  return record(out, name, [x], [], (g) => [call('remap_backward', g, shape, kinds, parameters)])
}

/** The given dimensions in reverse order. A copy. */
export function flip(x: Tensor, dims: readonly number[]): Tensor {
  requireTensor('flip', 'input', x)
  const flipped = wrapDims('flip', integerList('flip', 'dimensions', dims), x.shape)
  const maps = keepAll(x)
  for (const dim of flipped) {
    const map = maps[dim]
    if (map) map.kind = 'flip'
  }
  return withInverse('flip', x, maps, maps)
}

/** Elements moved `shifts` places towards the end along `dims`, those that leave entering at the front. */
export function roll(
  x: Tensor,
  shifts: number | readonly number[],
  dims?: number | readonly number[],
): Tensor {
  requireTensor('roll', 'input', x)
  const by = integerList('roll', 'shifts', shifts)
  if (dims === undefined) {
    if (by.length !== 1) throw new ShapeError(`roll: ${by.length} shifts without dimensions to move along`)
    return roll(x.flatten(), by, 0).reshape(x.shape)
  }
  const along = integerList('roll', 'dimensions', dims)
  if (along.length !== by.length) {
    throw new ShapeError(`roll: ${by.length} shifts for ${along.length} dimensions`)
  }
  const total = new Array<number>(x.ndim).fill(0)
  along.forEach((dim, i) => {
    const at = wrapDim('roll', dim, x.shape)
    if (at < total.length) total[at] = (total[at] as number) + (by[i] as number)
  })
  const mapsFor = (sign: number): AxisMap[] =>
    x.shape.map((size, i) => {
      const shift = sign * (total[i] as number)
      return { kind: 'roll', size, parameter: size === 0 ? 0 : ((shift % size) + size) % size }
    })
  return withInverse('roll', x, mapsFor(1), mapsFor(-1))
}

const padModes: readonly string[] = ['constant', 'reflect', 'replicate', 'circular']

/**
 * Adds a border. `padding` starts with the last dimension, as in PyTorch: [left, right, top, bottom, …]. Negative numbers
 * take elements away.
 * @throws ShapeError where the border is wider than the mode can fill: 'reflect' needs it smaller than the dimension,
 * 'circular' no larger. DTypeError where the dtype of `x` cannot hold the value.
 */
export function pad(x: Tensor, padding: readonly number[], options: PadOptions = {}): Tensor {
  requireTensor('pad', 'input', x)
  requireOptions('pad', options, ['mode', 'value'])
  const { mode = 'constant', value = 0 } = options
  requireNumber('pad', 'value', value)
  requireHolds('pad', value, x.dtype, { wraps: false })
  if (!padModes.includes(mode)) {
    throw new ConfigError(`pad: the mode must be one of ${padModes.join(', ')}, got ${show(mode)}`)
  }
  const { shape } = x
  if (!Array.isArray(padding) || padding.length % 2 !== 0 || padding.length / 2 > shape.length) {
    throw new ShapeError(
      `pad: expected two numbers for each of at most ${shape.length} dimensions, got ${show(padding)}`,
    )
  }
  const maps = keepAll(x)
  const inverse = keepAll(x)
  let cropped = x
  for (let i = 0; i < padding.length / 2; i++) {
    const dim = shape.length - 1 - i
    const [before, after] = [padding[2 * i] as number, padding[2 * i + 1] as number]
    const size = shape[dim] as number
    if (!Number.isSafeInteger(before) || !Number.isSafeInteger(after) || size + before + after < 0) {
      throw new ShapeError(`pad: ${before} before and ${after} after a dimension of size ${size}`)
    }
    if (mode === 'constant') {
      maps[dim] = { kind: 'constant', size: size + before + after, parameter: before }
      inverse[dim] = { kind: 'constant', size, parameter: -before }
      continue
    }
    requireFillable(mode, before, after, size)
    if (before < 0 || after < 0)
      cropped = slice(cropped, dim, Math.max(0, -before), size - Math.max(0, -after))
    maps[dim] = { kind: mode, size: size + before + after, parameter: Math.max(0, before) }
  }
  return mode === 'constant' ? withInverse('pad', x, maps, inverse, value) : withSums('pad', cropped, maps)
}

function requireFillable(mode: PadMode, before: number, after: number, size: number): void {
  const widest = Math.max(before, after)
  const fits = mode === 'reflect' ? widest < size : mode === 'circular' ? widest <= size : size > 0
  if (!fits && widest > 0) {
    throw new ShapeError(
      `pad: mode '${mode}' cannot add ${before} before and ${after} after a dimension of size ${size}`,
    )
  }
}

export function repeat(x: Tensor, repeats: readonly number[]): Tensor {
  requireTensor('repeat', 'input', x)
  for (const count of integerList('repeat', 'numbers of copies', repeats)) {
    requireInteger('repeat', 'every number of copies', count, 0)
  }
  const added = repeats.length - x.ndim
  if (added < 0) {
    throw new ShapeError(
      `repeat: ${repeats.length} numbers for the ${x.ndim} dimensions of shape [${x.shape.join(', ')}]`,
    )
  }
  const base = added > 0 ? x.reshape([...new Array<number>(added).fill(1), ...x.shape]) : x
  return withSums(
    'repeat',
    base,
    base.shape.map((size, i) => ({ kind: 'repeat', size: size * (repeats[i] as number), parameter: 0 })),
  )
}

/**
 * Each element several times in a row along `dim`, or in the flattened tensor without one. `repeats` is one number, or one
 * for each element of the dimension (a tensor's values are waited for: they decide the shape).
 */
export function repeatInterleave(
  x: Tensor,
  repeats: number | readonly number[] | Tensor,
  dim?: number,
): Tensor {
  requireTensor('repeatInterleave', 'input', x)
  if (dim === undefined) return repeatInterleave(x.flatten(), repeats, 0)
  const at = wrapDim('repeatInterleave', dim, x.shape)
  const base = x.ndim === 0 ? x.reshape([1]) : x
  const size = base.shape[at] as number
  if (typeof repeats === 'number') {
    requireInteger('repeatInterleave', 'the number of copies', repeats, 0)
    const maps = keepAll(base)
    maps[at] = { kind: 'interleave', size: size * repeats, parameter: 0 }
    return withSums('repeatInterleave', base, maps)
  }
  if (!Array.isArray(repeats)) requireTensor('repeatInterleave', 'repeats', repeats)
  if (repeats instanceof Tensor) tellOfRead('repeatInterleave with a tensor of repeats', repeats)
  const counts = Array.from(repeats instanceof Tensor ? repeats.dataSync() : repeats)
  for (const count of counts) requireInteger('repeatInterleave', 'the number of copies', count, 0)
  if (counts.length === 1) return repeatInterleave(base, counts[0] as number, at)
  if (counts.length !== size || (repeats instanceof Tensor && repeats.ndim !== 1)) {
    throw new ShapeError(
      `repeatInterleave: ${counts.length} numbers of copies for a dimension of size ${size}`,
    )
  }
  // Should the result not fit into memory, the list of places must not be made either.
  const total = counts.reduce((sum, count) => sum + count, 0)
  callOn(base, 'empty', base.shape.with(at, total), dtypeCode(base.dtype)).dispose()
  const places = counts.flatMap((count, i) => new Array<number>(count).fill(i))
  return indexSelect(base, at, tensor(places, { dtype: 'int64', device: base.device }))
}

addMethods({
  flip(...dims) {
    const [first, ...rest] = dims
    return flip(this, integerList('flip', 'dimensions', first, rest))
  },
  roll(shifts, dims) {
    return roll(this, shifts, dims)
  },
  repeat(...repeats) {
    const [first, ...rest] = repeats
    return repeat(this, integerList('repeat', 'numbers of copies', first, rest))
  },
  repeatInterleave(repeats, dim) {
    return repeatInterleave(this, repeats, dim)
  },
})
