/** erf to double precision: its Taylor series near zero, the continued fraction of erfc beyond. */
export function erf(x: number): number {
  const size = Math.abs(x)
  if (size > 6) return Math.sign(x)
  if (size < 2.5) {
    let term = x
    let sum = x
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= -(x * x) / n
      sum += term / (2 * n + 1)
    }
    return (2 / Math.sqrt(Math.PI)) * sum
  }
  let fraction = 0
  for (let n = 120; n > 0; n--) fraction = n / 2 / (size + fraction)
  const erfc = Math.exp(-size * size) / Math.sqrt(Math.PI) / (size + fraction)
  return Math.sign(x) * (1 - erfc)
}

/** The inverse of {@link erf}: Winitzki's approximation, then Newton's method. */
export function erfInverse(y: number): number {
  if (Math.abs(y) >= 1) return Math.abs(y) === 1 ? y * Infinity : NaN
  const log = Math.log1p(-y * y)
  const a = 2 / (Math.PI * 0.147) + log / 2
  let x = Math.sign(y) * Math.sqrt(Math.sqrt(a * a - log / 0.147) - a)
  for (let i = 0; i < 3; i++) x -= (erf(x) - y) / ((2 / Math.sqrt(Math.PI)) * Math.exp(-x * x))
  return x
}

/** Cumulative distribution of the standard normal. */
export function normalCdf(x: number): number {
  return 0.5 * (1 + erf(x / Math.SQRT2))
}
