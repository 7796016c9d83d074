/** A point to draw; `y` is null where the line has a gap. */
export interface Point {
  x: number
  y: number | null
}

/**
 * Pairs two lists for drawing: a `y` that is not finite becomes a gap, a pair whose `x` cannot be placed is left out.
 * Where there are more than `limit` points, each run of neighbours keeps its lowest and its highest, so that spikes stay
 * visible while the file stays small; the first and the last point stay, so that a line goes from end to end.
 */
export function toPoints(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  placeable: { x: (v: number) => boolean; y: (v: number) => boolean },
  limit = 2000,
): Point[] {
  const points: Point[] = []
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const px = x[i]!
    const py = y[i]!
    if (placeable.x(px)) points.push({ x: px, y: placeable.y(py) ? py : null })
  }
  if (points.length <= limit) return points
  const [first, last] = [points[0]!, points.at(-1)!]
  const kept: Point[] = []
  const runs = Math.floor(limit / 2) - 1
  for (let run = 0; run < runs; run++) {
    const from = Math.floor((run * points.length) / runs)
    const to = Math.floor(((run + 1) * points.length) / runs)
    kept.push(...extremes(points, from, to))
  }
  if (kept[0] !== first) kept.unshift(first)
  if (kept.at(-1) !== last) kept.push(last)
  return kept
}

function extremes(points: Point[], from: number, to: number): Point[] {
  let low: number | undefined
  let high: number | undefined
  for (let i = from; i < to; i++) {
    const y = points[i]!.y
    if (y === null) continue
    if (low === undefined || y < points[low]!.y!) low = i
    if (high === undefined || y > points[high]!.y!) high = i
  }
  if (low === undefined || high === undefined) return [points[from]!]
  if (low === high) return [points[low]!]
  return low < high ? [points[low]!, points[high]!] : [points[high]!, points[low]!]
}
