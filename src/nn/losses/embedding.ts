import { raised } from '../../engine/autocast.ts'
import { requireNumber, requireOptions, requireTensor } from '../../engine/check.ts'
import { ShapeError } from '../../engine/errors.ts'
import { type Reduction, type Tensor, where } from '../../engine/index.ts'
import { type PairwiseDistanceOptions, pairwiseDistance } from '../distance.ts'
import { reduce } from './elementwise.ts'
import { Loss, type LossOptions } from './Loss.ts'

export interface CosineEmbeddingLossOptions extends LossOptions {
  /** Cosine up to which different pairs cost nothing; 0 to 0.5 is usual. Default 0. */
  margin?: number
}

export interface TripletMarginLossOptions extends LossOptions {
  /** How much farther than the positive the negative is to lie. Default 1. */
  margin?: number
  /** The norm of the distances. Default 2. */
  p?: number
  /** Added to each difference. Default 1e-6. */
  eps?: number
  /** Counts the distance from positive to negative where that is shorter than from the anchor. Default false. */
  swap?: boolean
}

const cosineNames = ['margin'] as const
const tripletNames = ['margin', 'p', 'eps', 'swap'] as const

// Added to squared lengths so that vectors of zeros have a cosine: 0. In PyTorch a float32, whatever the vectors are.
const TINY = Math.fround(1e-12)

function requireTargets(x1: Tensor, x2: Tensor, target: Tensor): void {
  if (target.ndim < 2 && x1.ndim === target.ndim + 1 && x2.ndim === target.ndim + 1) return
  const shapes = [x1, x2, target].map((each) => `[${each.shape.join(', ')}]`).join(', ')
  throw new ShapeError(
    `cosineEmbeddingLoss: expected [N, D], [N, D] and targets [N], or [D], [D] and [], got ${shapes}`,
  )
}

/**
 * 1 - cos where the target is 1 (alike), max(cos - margin, 0) where it is -1 (different), of vectors `[N, D]` and `[N, D]` with targets
 * `[N]`, or of `[D]` and `[D]` with a target without dimensions. Other targets cost nothing, as in PyTorch. Under autocast in float32.
 * @throws ShapeError for other shapes
 */
export function cosineEmbeddingLoss(
  x1: Tensor,
  x2: Tensor,
  target: Tensor,
  options: CosineEmbeddingLossOptions = {},
): Tensor {
  requireOptions('cosineEmbeddingLoss', options, ['reduction', ...cosineNames])
  const { margin = 0, reduction = 'mean' } = options
  requireNumber('cosineEmbeddingLoss', 'margin', margin)
  requireTensor('cosineEmbeddingLoss', 'first input', x1)
  requireTensor('cosineEmbeddingLoss', 'second input', x2)
  requireTensor('cosineEmbeddingLoss', 'target', target)
  requireTargets(x1, x2, target)
  const [a, b] = [raised(x1), raised(x2)]
  const squaredLength = (x: Tensor) => x.square().sum(-1).add(TINY)
  const cosine = a
    .mul(b)
    .sum(-1)
    .div(squaredLength(a).mul(squaredLength(b)).sqrt())
  const alike = where(target.eq(1), cosine.neg().add(1), 0)
  const different = where(target.eq(-1), cosine.sub(margin).clamp(0), 0)
  return reduce('cosineEmbeddingLoss', alike.add(different), reduction)
}

/**
 * max(d(anchor, positive) - d(anchor, negative) + margin, 0) with d of {@link pairwiseDistance} (Balntas et al. 2016): anchors are to
 * lie nearer to what they belong with. All are `[N, D]`, or `[D]`; they broadcast. Under autocast in float32.
 * @throws ShapeError for different numbers of dimensions, or shapes that do not fit
 */
export function tripletMarginLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options: TripletMarginLossOptions = {},
): Tensor {
  requireOptions('tripletMarginLoss', options, ['reduction', ...tripletNames])
  const { margin = 1, p = 2, eps = 1e-6, swap = false, reduction = 'mean' } = options
  requireNumber('tripletMarginLoss', 'margin', margin)
  requireTensor('tripletMarginLoss', 'anchor', anchor)
  requireTensor('tripletMarginLoss', 'positive', positive)
  requireTensor('tripletMarginLoss', 'negative', negative)
  if (anchor.ndim !== positive.ndim || anchor.ndim !== negative.ndim) {
    const shapes = [anchor, positive, negative].map((each) => `[${each.shape.join(', ')}]`).join(', ')
    throw new ShapeError(`tripletMarginLoss: all must have as many dimensions, got ${shapes}`)
  }
  const settings: PairwiseDistanceOptions = { p, eps }
  const near = pairwiseDistance(anchor, positive, settings)
  const far = pairwiseDistance(anchor, negative, settings)
  const nearest = swap ? far.minimum(pairwiseDistance(positive, negative, settings)) : far
  return reduce('tripletMarginLoss', near.add(margin).sub(nearest).clamp(0), reduction)
}

/** Pulls alike vectors together, pushes different ones apart by their angle. See {@link cosineEmbeddingLoss}. */
export class CosineEmbeddingLoss extends Loss<Reduction, [x1: Tensor, x2: Tensor, target: Tensor]> {
  readonly margin: number

  constructor(options: CosineEmbeddingLossOptions = {}) {
    super(options, cosineNames)
    this.margin = options.margin ?? 0
    requireNumber('CosineEmbeddingLoss', 'margin', this.margin)
  }

  override forward(x1: Tensor, x2: Tensor, target: Tensor): Tensor {
    return cosineEmbeddingLoss(x1, x2, target, { margin: this.margin, reduction: this.reduction })
  }
}

/** Anchors nearer to positives than to negatives, by a margin. See {@link tripletMarginLoss}. */
export class TripletMarginLoss extends Loss<Reduction, [anchor: Tensor, positive: Tensor, negative: Tensor]> {
  readonly margin: number
  readonly p: number
  readonly eps: number
  readonly swap: boolean

  constructor(options: TripletMarginLossOptions = {}) {
    super(options, tripletNames)
    this.margin = options.margin ?? 1
    this.p = options.p ?? 2
    this.eps = options.eps ?? 1e-6
    this.swap = options.swap ?? false
    for (const name of ['margin', 'p', 'eps'] as const) {
      requireNumber('TripletMarginLoss', name, this[name])
    }
  }

  override forward(anchor: Tensor, positive: Tensor, negative: Tensor): Tensor {
    const { margin, p, eps, swap, reduction } = this
    return tripletMarginLoss(anchor, positive, negative, { margin, p, eps, swap, reduction })
  }
}
