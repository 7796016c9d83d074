import { requireOptions, requireTensor, show } from '../check.ts'
import { ConfigError, ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { checkChoice, type Pair } from './spatial.ts'

/** 'linear' is for [N, C, L], 'bilinear' for [N, C, H, W], 'nearest' for both. */
export type InterpolateMode = 'nearest' | 'linear' | 'bilinear'

const OPTION_NAMES = ['size', 'scaleFactor', 'mode', 'alignCorners', 'recomputeScaleFactor']

export interface InterpolateOptions {
  /** Size of the output: one number for all directions, or one each. Either this or `scaleFactor`. */
  size?: Pair | undefined
  /** Size of the output in sizes of the input, rounded down: one number for all directions, or one each. */
  scaleFactor?: Pair | undefined
  /** Default 'nearest'. */
  mode?: InterpolateMode | undefined
  /**
   * For the linear modes: whether the centres of the corner pixels (rather than the pictures' edges) lie on each other.
   * Default false.
   */
  alignCorners?: boolean | undefined
  /**
   * With `scaleFactor`: whether positions follow from the rounded output size instead of from the factor itself. Default
   * false.
   */
  recomputeScaleFactor?: boolean | undefined
}

const modes = ['nearest', 'linear', 'bilinear']

/**
 * x [N, C, H, W] or [N, C, L] at another size, by PyTorch's rules for positions. 'nearest' takes any dtype, the linear modes
 * floating ones. Channels-last inside.
 * @throws ShapeError, DTypeError, ConfigError.
 */
export function interpolate(x: Tensor, options: InterpolateOptions = {}): Tensor {
  requireTensor('interpolate', 'input', x)
  requireOptions('interpolate', options, OPTION_NAMES)
  const { mode = 'nearest', alignCorners } = options
  checkChoice('interpolate', 'mode', mode, modes)
  const rank = mode === 'bilinear' ? 4 : mode === 'linear' ? 3 : x.ndim
  if (x.ndim !== rank || (rank !== 3 && rank !== 4)) {
    const layout =
      mode === 'bilinear' ? '[N, C, H, W]' : mode === 'linear' ? '[N, C, L]' : '[N, C, H, W] or [N, C, L]'
    throw new ShapeError(
      `interpolate: mode '${mode}' expects an input of ${layout}, got [${x.shape.join(', ')}]`,
    )
  }
  if (mode === 'nearest' && alignCorners !== undefined) {
    throw new ConfigError("interpolate: alignCorners goes with the modes 'linear' and 'bilinear' only")
  }
  const { size, scales } = target(x.shape.slice(2), options)
  const linear = mode !== 'nearest'
  if (rank === 4) return resample(x, size, scales, linear, alignCorners ?? false)
  return resample(x.unsqueeze(2), [1, ...size], [0, ...scales], linear, alignCorners ?? false).squeeze(2)
}

// The size of the output, and the scales that positions follow: 0 for those of the sizes themselves.
function target(
  from: readonly number[],
  { size, scaleFactor, recomputeScaleFactor = false }: InterpolateOptions,
): { size: readonly number[]; scales: readonly number[] } {
  if ((size === undefined) === (scaleFactor === undefined)) {
    throw new ConfigError('interpolate: needs either a size or a scaleFactor')
  }
  const perDirection = (value: Pair, name: string): readonly number[] => {
    const list = typeof value === 'number' ? from.map(() => value) : value
    if (!Array.isArray(list) || list.length !== from.length) {
      throw new ShapeError(`interpolate: ${name} takes one number or ${from.length}, got ${show(value)}`)
    }
    return list
  }
  const zeros = from.map(() => 0)
  if (size !== undefined) {
    if (recomputeScaleFactor) {
      throw new ConfigError('interpolate: recomputeScaleFactor goes with scaleFactor, not with size')
    }
    return { size: perDirection(size, 'size'), scales: zeros }
  }
  const scales = perDirection(scaleFactor as Pair, 'scaleFactor')
  if (!scales.every((scale) => Number.isFinite(scale) && scale > 0)) {
    throw new ConfigError(`interpolate: scaleFactor must be positive, got ${show(scaleFactor)}`)
  }
  const scaled = from.map((length, i) => Math.floor(length * (scales[i] as number)))
  return { size: scaled, scales: recomputeScaleFactor ? zeros : scales }
}

function resample(
  x: Tensor,
  size: readonly number[],
  scales: readonly number[],
  linear: boolean,
  alignCorners: boolean,
): Tensor {
  const [scaleY, scaleX] = scales
  const out = call('interpolate2d', x, size, linear, alignCorners, scaleY, scaleX)
  if (!isTracked([x])) return out
  const { shape } = x
  return record(out, 'interpolate', [x], [], (g) => [
    call('interpolate2d_backward', g, shape, linear, alignCorners, scaleY, scaleX),
  ])
}
