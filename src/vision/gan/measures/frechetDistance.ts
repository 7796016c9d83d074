import { ShapeError } from '../../../engine/errors.ts'
import { noGrad, scope, Tensor } from '../../../engine/index.ts'
import { checkFeatures } from './features.ts'

/** Mean and covariance of features: a normal distribution. */
export interface FeatureStatistics {
  /** Number of pictures. */
  readonly count: number
  /** [F] */
  readonly mean: Float64Array
  /** [F, F], row by row; unbiased. */
  readonly covariance: Float64Array
  /** Of fewer pictures than features: A, [count, F], with AᵀA the covariance. */
  readonly factor?: Float64Array | undefined
}

/** @throws ShapeError for fewer than two pictures */
export async function featureStatistics(features: Tensor): Promise<FeatureStatistics> {
  checkFeatures('featureStatistics', features, features, 2)
  const count = features.size(0)
  return scope(async () => {
    const tensors = noGrad(() => {
      const values = features.double()
      const mean = values.mean(0)
      const factor = values.sub(mean).div(Math.sqrt(count - 1))
      const covariance = factor.t().matmul(factor)
      return count < features.size(1) ? [mean, covariance, factor] : [mean, covariance]
    })
    const read = await Promise.all(tensors.map((tensor) => tensor.data() as Promise<Float64Array>))
    const [mean, covariance, factor] = read as [Float64Array, Float64Array, Float64Array | undefined]
    return { count, mean, covariance, factor }
  })
}

/**
 * Fréchet distance between the normal distributions of two sets of features, the FID of Heusel et al. (2017) where they are Inception's:
 * ‖μ₁ - μ₂‖² + tr(C₁ + C₂ - 2 √(C₁ C₂)), in float64. With C₁ = AᵀA the trace of the root is that of √(A C₂ Aᵀ), by its eigenvalues.
 * A is the root of C₁, or, where one of the sets has fewer pictures than features, its centred features themselves: a small matrix then.
 *
 * @param real features [N, F], or their statistics: worked out once, they spare half of the time
 * @throws ShapeError
 */
export async function frechetDistance(
  real: Tensor | FeatureStatistics,
  fake: Tensor | FeatureStatistics,
): Promise<number> {
  const [first, second] = await Promise.all([real, fake].map(toStatistics))
  const size = first!.mean.length
  if (second!.mean.length !== size) {
    throw new ShapeError(
      `frechetDistance: features of ${size} and of ${second!.mean.length} numbers: they must come from one network`,
    )
  }
  let distance = 0
  for (let i = 0; i < size; i++) {
    distance += (first!.mean[i]! - second!.mean[i]!) ** 2
    distance += first!.covariance[i * size + i]! + second!.covariance[i * size + i]!
  }
  // Loaded here, with the library behind it: few programs need it, and every one would wait for it.
  const { traceOfRoot } = await import('./traceOfRoot.ts')
  return Math.max(0, distance - 2 * traceOfRoot(first!, second!))
}

async function toStatistics(given: Tensor | FeatureStatistics): Promise<FeatureStatistics> {
  return given instanceof Tensor ? featureStatistics(given) : given
}
