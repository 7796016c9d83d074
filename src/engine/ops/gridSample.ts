import { requireOptions, requireTensor, show } from '../check.ts'
import { isFloatingPoint } from '../dtype.ts'
import { DTypeError, ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { call, callMany } from '../native.ts'
import type { Tensor } from '../tensor.ts'
import { linspace, ones } from './create.ts'
import { stack } from './indexing.ts'
import { checkChoice } from './spatial.ts'

export interface GridSampleOptions {
  /** How a value between pixels is read. Default 'bilinear'. */
  mode?: 'bilinear' | 'nearest' | undefined
  /** What lies outside the picture: zeros, its outermost pixels, or its mirror image. Default 'zeros'. */
  paddingMode?: 'zeros' | 'border' | 'reflection' | undefined
  /** Whether -1 and 1 are the centres of the corner pixels, rather than the picture's edges. Default false. */
  alignCorners?: boolean | undefined
}

const modes = ['bilinear', 'nearest']
const paddingModes = ['zeros', 'border', 'reflection']

/**
 * Reads pictures x [N, C, H, W] at the positions of grid [N, h, w, 2], x before y, -1 to 1 from edge to edge; gives
 * [N, C, h, w] (Jaderberg et al. 2015). Differentiable in both; with 'nearest' the grid's gradient is zero.
 * @throws ShapeError, DTypeError, ConfigError.
 */
export function gridSample(x: Tensor, grid: Tensor, options: GridSampleOptions = {}): Tensor {
  requireOptions('gridSample', options, ['mode', 'paddingMode', 'alignCorners'])
  const { mode = 'bilinear', paddingMode = 'zeros', alignCorners = false } = options
  requireTensor('gridSample', 'input', x)
  requireTensor('gridSample', 'grid', grid)
  checkChoice('gridSample', 'mode', mode, modes)
  checkChoice('gridSample', 'paddingMode', paddingMode, paddingModes)
  const [modeNumber, border] = [modes.indexOf(mode), paddingModes.indexOf(paddingMode)]
  const out = call('grid_sample', x, grid, modeNumber, border, alignCorners)
  const inputs = [x, grid]
  if (!isTracked(inputs)) return out
  return record(out, 'gridSample', inputs, [x, grid], (g, node) => {
    const [wantInput, wantGrid] = [node.needs(0), node.needs(1)]
    const results = callMany(
      'grid_sample_backward',
      g,
      node.saved(0),
      node.saved(1),
      modeNumber,
      border,
      alignCorners,
      wantInput,
      wantGrid,
    )
    return wantInput ? [results[0], results[1]] : [null, results[0]]
  })
}

export interface AffineGridOptions {
  /** Whether -1 and 1 are the centres of the corner pixels, rather than the picture's edges. Default false. */
  alignCorners?: boolean | undefined
}

/**
 * The grid with which gridSample applies the affine maps theta [N, 2, 3] to pictures of `size` [N, C, H, W]:
 * [N, H, W, 2].
 * @throws ShapeError, DTypeError.
 */
export function affineGrid(theta: Tensor, size: readonly number[], options: AffineGridOptions = {}): Tensor {
  requireOptions('affineGrid', options, ['alignCorners'])
  const { alignCorners = false } = options
  requireTensor('affineGrid', 'theta', theta)
  if (!isFloatingPoint(theta.dtype)) {
    throw new DTypeError(`affineGrid: theta must have a floating dtype, got ${theta.dtype}`)
  }
  const valid =
    Array.isArray(size) && size.length === 4 && size.every((length) => Number.isInteger(length) && length > 0)
  if (!valid) {
    throw new ShapeError(
      `affineGrid: the size must be [N, C, H, W] with positive integers, got ${show(size)}`,
    )
  }
  const [count, , height, width] = size as [number, number, number, number]
  if (theta.shape.join() !== [count, 2, 3].join()) {
    throw new ShapeError(
      `affineGrid: expected theta of [${count}, 2, 3] for pictures of [${size.join(', ')}], got ` +
        `[${theta.shape.join(', ')}]`,
    )
  }
  const { dtype, device } = theta
  const centres = (length: number) => {
    if (length === 1) return linspace(0, 0, 1, { dtype, device })
    const line = linspace(-1, 1, length, { dtype, device })
    return alignCorners ? line : line.mul((length - 1) / length)
  }
  const plane = [height, width]
  const columns = centres(width).expand(plane)
  const rows = centres(height).unsqueeze(1).expand(plane)
  const places = stack([columns, rows, ones(plane, { dtype, device })], 2).view([height * width, 3])
  return places.matmul(theta.transpose(1, 2)).view([count, height, width, 2])
}
