import { requireOptions, requireTensor, show } from '../check.ts'
import { ConfigError, DTypeError, ShapeError } from '../errors.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import { Tensor } from '../tensor.ts'
import { sub } from './binary.ts'
import { lerp } from './clamp.ts'
import { toDType } from './convert.ts'
import { tensor } from './create.ts'
import { movedim } from './dimensions.ts'
import { wrapDim } from './dims.ts'
import { argsort } from './extreme.ts'
import { gather, where } from './indexing.ts'
import type { ReduceOptions } from './reduce.ts'
import { ceil, floor, round } from './unary.ts'

/** What a quantile is that falls between two elements: a point between both, one of them, the mean, or the nearer. */
export type QuantileInterpolation = 'linear' | 'lower' | 'higher' | 'midpoint' | 'nearest'

export interface QuantileOptions extends ReduceOptions {
  /** Default 'linear'. */
  interpolation?: QuantileInterpolation | undefined
}

/** Which quantiles: a share in [0, 1], or several in an array or a tensor (of the dtype of the values) of one dimension. */
export type QuantileShares = number | readonly number[] | Tensor

declare module '../tensor.ts' {
  interface Tensor {
    /**
     * The value below which a share `q` of the elements lies, of all or along a dimension. For several shares a dimension of
     * them comes first. Where there is NaN the result is NaN. float32 and float64; waits for shares in a tensor.
     */
    quantile(q: QuantileShares, dim?: number | null, options?: QuantileOptions): Tensor
  }
}

const interpolations: readonly string[] = ['linear', 'lower', 'higher', 'midpoint', 'nearest']

// float32 counts no further one by one.
const LARGEST_FLOAT32 = 2 ** 24

function refuseShare(q: unknown): ConfigError {
  return new ConfigError(`quantile: q must lie between 0 and 1, got ${show(q)}`)
}

// The shares as a tensor on the device of `x`.
function sharesFor(x: Tensor, q: QuantileShares): Tensor {
  if (!(q instanceof Tensor)) {
    const shares: readonly unknown[] = Array.isArray(q) ? q : [q]
    for (const share of shares) {
      if (!(typeof share === 'number' && share >= 0 && share <= 1)) throw refuseShare(share)
    }
    return tensor(q as number | number[], { dtype: x.dtype, device: x.device })
  }
  if (q.dtype !== x.dtype) {
    throw new DTypeError(`quantile: q is ${q.dtype} and the tensor ${x.dtype}; both must be the same`)
  }
  if (q.ndim > 1) {
    throw new ShapeError(`quantile: q must have at most one dimension, got shape [${q.shape.join(', ')}]`)
  }
  const inside = call('logical_and', call('ge', q, 0), call('le', q, 1))
  if (call('all', inside, [], false).item() === 0)
    throw refuseShare(q.dataSync().find((s) => !(s >= 0 && s <= 1)))
  return q
}

function requireValues(x: Tensor, count: number): void {
  if (x.dtype !== 'float32' && x.dtype !== 'float64') {
    throw new DTypeError(`quantile: expected float32 or float64, got ${x.dtype}; convert it with float()`)
  }
  if (x.numel === 0)
    throw new ShapeError(`quantile: a tensor of shape [${x.shape.join(', ')}] has no elements`)
  if (x.dtype === 'float32' && count > LARGEST_FLOAT32) {
    throw new ShapeError(`quantile: float32 cannot tell the places of ${count} elements apart; use double()`)
  }
}

// Of rows in the last dimension, at each place (fractions between two elements) of another last dimension.
function valuesAt(rows: Tensor, places: Tensor, interpolation: QuantileInterpolation): Tensor {
  const order = argsort(rows, -1)
  const valueAt = (whole: Tensor) =>
    gather(rows, -1, call('gather', order, -1, toDType(whole.detach(), 'int64')))
  if (interpolation === 'lower') return valueAt(floor(places))
  if (interpolation === 'higher') return valueAt(ceil(places))
  if (interpolation === 'nearest') return valueAt(round(places))
  const whole = floor(places)
  const [below, above] = [valueAt(whole), valueAt(ceil(places))]
  const between =
    interpolation === 'midpoint' ? lerp(below, above, 0.5) : lerp(below, above, sub(places, whole))
  // Between two infinities of one sign there is no NaN.
  const same = call('logical_and', call('isinf', below), call('eq', below, above))
  return where(same, below, between)
}

/**
 * The value below which a share `q` of the elements lies, of all or along a dimension: at place q · (n - 1) of them in order.
 * Shape: that of `x` without `dim` (`keepdim`: with size one), after a dimension for the shares where they are several.
 * NaN among the elements gives NaN. The gradient goes to the elements that the value was taken from, and to a tensor `q`.
 * @throws ConfigError for shares outside [0, 1] and unknown interpolations; ShapeError for no elements; DTypeError for other
 * dtypes than float32 and float64
 */
export function quantile(
  x: Tensor,
  q: QuantileShares,
  dim?: number | null,
  options: QuantileOptions = {},
): Tensor {
  requireTensor('quantile', 'input', x)
  requireOptions('quantile', options, ['keepdim', 'interpolation'])
  const { keepdim = false, interpolation = 'linear' } = options
  if (!interpolations.includes(interpolation)) {
    throw new ConfigError(
      `quantile: the interpolation must be one of ${interpolations.join(', ')}, got ${show(interpolation)}`,
    )
  }
  const at = dim === undefined || dim === null ? null : wrapDim('quantile', dim, x.shape)
  const rows = at === null || x.ndim === 0 ? x.reshape([-1]) : movedim(x, at, -1)
  const count = rows.size(-1)
  requireValues(x, count)
  const shares = sharesFor(x, q)
  // NaN come last in order: a row that has one gives that.
  const missing = call('any', call('isnan', rows), [-1], true)
  const places = where(missing, count - 1, shares.reshape([-1]).mul(count - 1))
  const found = movedim(valuesAt(rows, places, interpolation), -1, 0)
  const reduced = x.shape.map((size, i) => (at === null || i === at ? 1 : size))
  const shape = keepdim ? reduced : reduced.filter((_, i) => at !== null && i !== at)
  return found.reshape([...shares.shape, ...shape])
}

addMethods({
  quantile(q, dim, options) {
    return quantile(this, q, dim, options)
  },
})
