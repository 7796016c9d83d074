import { EigenvalueDecomposition, Matrix } from 'ml-matrix'
import { AnnealError } from '../../../engine/errors.ts'
import type { FeatureStatistics } from './frechetDistance.ts'

/** Factors of covariances that have been worked out: those of the real pictures are asked for again and again. */
const factors = new WeakMap<FeatureStatistics, Matrix>()

/**
 * tr √(C₁ C₂), which with C₁ = AᵀA is that of √(A C₂ Aᵀ), whose eigenvalues are real. The trace is the same the other way round: the
 * smaller of the factors is taken.
 */
export function traceOfRoot(first: FeatureStatistics, second: FeatureStatistics): number {
  const [inner, outer] = rankOf(second) < rankOf(first) ? [first, second] : [second, first]
  const factor = factorOf(outer)
  const product = inner.factor
    ? squareOf(factor.mmul(factorOf(inner).transpose()))
    : factor.mmul(toMatrix(inner)).mmul(factor.transpose())
  let trace = 0
  for (const value of eigen(product).realEigenvalues) trace += Math.sqrt(Math.max(0, value))
  return trace
}

/** Rows of the factor. */
function rankOf({ factor, count, mean }: FeatureStatistics): number {
  return factor ? count : mean.length
}

function squareOf(matrix: Matrix): Matrix {
  return matrix.mmul(matrix.transpose())
}

function toMatrix({ mean, covariance }: FeatureStatistics): Matrix {
  return Matrix.from1DArray(mean.length, mean.length, covariance)
}

function eigen(matrix: Matrix): EigenvalueDecomposition {
  // Rounding leaves products a little unsymmetric.
  const even = Matrix.add(matrix, matrix.transpose()).mul(0.5)
  if (even.to1DArray().some((value) => !Number.isFinite(value))) {
    throw new AnnealError('frechetDistance: some features are not finite')
  }
  return new EigenvalueDecomposition(even, { assumeSymmetric: true })
}

function factorOf(statistics: FeatureStatistics): Matrix {
  const { factor, count, mean } = statistics
  if (factor) return Matrix.from1DArray(count, mean.length, factor)
  const root = factors.get(statistics) ?? squareRoot(toMatrix(statistics))
  factors.set(statistics, root)
  return root
}

function squareRoot(matrix: Matrix): Matrix {
  const { eigenvectorMatrix: vectors, realEigenvalues } = eigen(matrix)
  const scale = realEigenvalues.map((value) => Math.max(0, value) ** 0.25)
  const half = vectors.clone().mulRowVector(scale)
  return half.mmul(half.transpose())
}
