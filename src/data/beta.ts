import type { RandomStream } from './random.ts'

/** A number from the symmetric beta distribution Beta(alpha, alpha). Jöhnk's method up to 1, a ratio of gammas above, as NumPy. */
export function drawBeta(random: RandomStream, alpha: number): number {
  if (alpha > 1) {
    const first = drawGamma(random, alpha)
    return first / (first + drawGamma(random, alpha))
  }
  for (;;) {
    // Above 0, since its logarithm may be needed.
    const [u, v] = [1 - random.uniform(), 1 - random.uniform()]
    const [x, y] = [u ** (1 / alpha), v ** (1 / alpha)]
    if (x + y > 1) continue
    if (x + y > 0) return x / (x + y)
    // Both are too small for their powers to be told from 0.
    const difference = (Math.log(v) - Math.log(u)) / alpha
    return 1 / (1 + Math.exp(difference))
  }
}

/** Gamma(shape, 1) for a shape above 1 (Marsaglia & Tsang 2000). */
function drawGamma(random: RandomStream, shape: number): number {
  const d = shape - 1 / 3
  const c = 1 / Math.sqrt(9 * d)
  for (;;) {
    const normal = Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform())
    const v = (1 + c * normal) ** 3
    if (v <= 0) continue
    if (Math.log(1 - random.uniform()) < normal ** 2 / 2 + d - d * v + d * Math.log(v)) return d * v
  }
}
