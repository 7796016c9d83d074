/** A straight line through measurements, and how far it can be trusted. */
export interface Slope {
  /** Change of y for one of x. */
  slope: number
  /** Twice its standard error: the true slope is within, 19 times out of 20, if what is measured only fluctuates. */
  noise: number
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * Theil and Sen's estimator, the median of the slopes between all pairs: single outliers do not move it. Neighbouring measurements
 * resemble each other, hence medians of (at most twelve) stretches take their place, and the spread of those around the line gives the noise.
 */
export function robustSlope(x: readonly number[], y: readonly number[]): Slope {
  const blocks = Math.min(12, x.length >> 1)
  if (blocks < 4) throw new Error(`${x.length} measurements are too few for a slope`)
  const bounds = Array.from({ length: blocks + 1 }, (_, i) => Math.round((i * x.length) / blocks))
  const stretch = (values: readonly number[], i: number) => median(values.slice(bounds[i]!, bounds[i + 1]!))
  const xs = Array.from({ length: blocks }, (_, i) => stretch(x, i))
  const ys = Array.from({ length: blocks }, (_, i) => stretch(y, i))
  const slopes = xs.flatMap((_, i) =>
    Array.from({ length: i }, (_, j) => (ys[i]! - ys[j]!) / (xs[i]! - xs[j]!)),
  )
  const slope = median(slopes)
  const offsets = ys.map((value, i) => value - slope * xs[i]!)
  const centre = median(offsets)
  const spread = 1.4826 * median(offsets.map((offset) => Math.abs(offset - centre)))
  const mean = xs.reduce((sum, value) => sum + value, 0) / blocks
  const width = Math.sqrt(xs.reduce((sum, value) => sum + (value - mean) ** 2, 0))
  return { slope, noise: (2 * spread) / width }
}
