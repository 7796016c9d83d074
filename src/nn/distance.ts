import { raised } from '../engine/autocast.ts'
import { requireOptions, requireTensor, show } from '../engine/check.ts'
import { ConfigError, DTypeError } from '../engine/errors.ts'
import { isFloatingPoint, type Tensor, toDType } from '../engine/index.ts'
import { broadcastShapes, wrapDim } from '../engine/ops/dims.ts'
import { widerFloat } from '../engine/ops/loss.ts'
import { Module } from './Module.ts'
import { rejectUnknownOptions } from './options.ts'

export interface CosineSimilarityOptions {
  /** The dimension of the vectors. Default 1. */
  dim?: number | undefined
  /** Vectors are taken to be at least as long. Default 1e-8. */
  eps?: number | undefined
}

export interface PairwiseDistanceOptions {
  /** Which norm: 1 for the sum of differences, Infinity for the largest. Default 2. */
  p?: number | undefined
  /** Added to each difference. Default 1e-6. */
  eps?: number | undefined
  /** Keep the last dimension with size one. Default false. */
  keepdim?: boolean | undefined
}

function requireEps(owner: string, eps: number): void {
  if (!(Number.isFinite(eps) && eps >= 0)) {
    throw new ConfigError(`${owner}: eps must be a number of at least 0, got ${show(eps)}`)
  }
}

// Of one shape and one floating dtype.
function alike(x1: Tensor, x2: Tensor): [Tensor, Tensor] {
  const [a, b] = [raised(x1), raised(x2)]
  if (!isFloatingPoint(a.dtype) && !isFloatingPoint(b.dtype)) {
    throw new DTypeError(`cosineSimilarity: expected floating tensors, got ${a.dtype} and ${b.dtype}`)
  }
  const shape = broadcastShapes('cosineSimilarity', [a.shape, b.shape])
  const dtype = isFloatingPoint(a.dtype) && isFloatingPoint(b.dtype) ? widerFloat(a.dtype, b.dtype) : null
  const floating = dtype ?? (isFloatingPoint(a.dtype) ? a.dtype : b.dtype)
  return [toDType(a, floating).expand(shape), toDType(b, floating).expand(shape)]
}

// Of length one, or shorter where the vector is shorter than eps.
function normalized(x: Tensor, dim: number, eps: number): Tensor {
  const squares = x.square().sum(dim, { keepdim: true })
  // As in PyTorch, the limit has no part in the gradient.
  const known = squares.detach()
  const raise = known.clamp(eps * eps).sub(known)
  return x.div(squares.add(raise).sqrt())
}

/**
 * The cosine of the angle between vectors along `dim`: x1 · x2 / (max(|x1|, eps) · max(|x2|, eps)). Both broadcast to one shape,
 * the result lacks `dim`. Zero for vectors of zeros. Under autocast in float32.
 * @throws ShapeError for shapes that do not fit or lack the dimension: of two single vectors it is `{ dim: 0 }`; DTypeError for
 * integers
 */
export function cosineSimilarity(x1: Tensor, x2: Tensor, options: CosineSimilarityOptions = {}): Tensor {
  requireOptions('cosineSimilarity', options, ['dim', 'eps'])
  requireTensor('cosineSimilarity', 'first input', x1)
  requireTensor('cosineSimilarity', 'second input', x2)
  const { dim = 1, eps = 1e-8 } = options
  requireEps('cosineSimilarity', eps)
  const [a, b] = alike(x1, x2)
  const at = wrapDim('cosineSimilarity', dim, a.shape)
  return normalized(a, at, eps)
    .mul(normalized(b, at, eps))
    .sum(at)
}

/**
 * The p-norm of x1 - x2 + eps over the last dimension: `[N, D]` and `[N, D]` give `[N]`. Both broadcast. Under autocast in
 * float32.
 * @throws ShapeError for shapes that do not fit
 */
export function pairwiseDistance(x1: Tensor, x2: Tensor, options: PairwiseDistanceOptions = {}): Tensor {
  requireOptions('pairwiseDistance', options, ['p', 'eps', 'keepdim'])
  requireTensor('pairwiseDistance', 'first input', x1)
  requireTensor('pairwiseDistance', 'second input', x2)
  const { p = 2, eps = 1e-6, keepdim = false } = options
  requireEps('pairwiseDistance', eps)
  return raised(x1).sub(raised(x2)).add(eps).norm(p, -1, { keepdim })
}

/** The cosine of the angle between the vectors of two inputs. See {@link cosineSimilarity}. */
export class CosineSimilarity extends Module<[x1: Tensor, x2: Tensor]> {
  readonly dim: number
  readonly eps: number

  constructor(options: CosineSimilarityOptions = {}) {
    super()
    rejectUnknownOptions('CosineSimilarity', options, ['dim', 'eps'])
    this.dim = options.dim ?? 1
    this.eps = options.eps ?? 1e-8
    if (!Number.isInteger(this.dim)) {
      throw new ConfigError(`CosineSimilarity: dim must be an integer, got ${show(this.dim)}`)
    }
    requireEps('CosineSimilarity', this.eps)
  }

  override forward(x1: Tensor, x2: Tensor): Tensor {
    return cosineSimilarity(x1, x2, { dim: this.dim, eps: this.eps })
  }
}
