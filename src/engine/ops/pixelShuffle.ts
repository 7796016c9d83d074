import { requireTensor } from '../check.ts'
import { ShapeError } from '../errors.ts'
import { isTracked, record } from '../graph.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'

/**
 * Channels become pixels (Shi et al. 2016): x [..., C · factor², H, W] to [..., C, H · factor, W · factor]. Any dtype.
 * @throws ShapeError.
 */
export function pixelShuffle(x: Tensor, factor: number): Tensor {
  return moved('pixelShuffle', 'pixel_shuffle', 'pixel_unshuffle', x, factor)
}

/**
 * Pixels become channels, the inverse of pixelShuffle: x [..., C, H · factor, W · factor] to [..., C · factor², H, W].
 * @throws ShapeError.
 */
export function pixelUnshuffle(x: Tensor, factor: number): Tensor {
  return moved('pixelUnshuffle', 'pixel_unshuffle', 'pixel_shuffle', x, factor)
}

function moved(name: string, op: string, inverse: string, x: Tensor, factor: number): Tensor {
  requireTensor(name, 'input', x)
  if (x.ndim === 4) {
    const out = call(op, x, factor)
    if (!isTracked([x])) return out
    return record(out, name, [x], [], (g) => [call(inverse, g, factor)])
  }
  if (x.ndim < 3) {
    throw new ShapeError(`${name}: expected an input of [..., C, H, W], got [${x.shape.join(', ')}]`)
  }
  const leading = x.shape.slice(0, -3)
  const pictures = x.reshape([leading.reduce((product, size) => product * size, 1), ...x.shape.slice(-3)])
  const out = moved(name, op, inverse, pictures, factor)
  return out.reshape([...leading, ...out.shape.slice(-3)])
}
