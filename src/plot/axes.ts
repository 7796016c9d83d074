import { ConfigError } from '../engine/errors.ts'

/** How values map to positions along an axis. */
export type ScaleKind = 'linear' | 'log'

/** Whether a value has a place on an axis of this kind. */
export const placeableOn = (scale: ScaleKind) => (value: number) =>
  Number.isFinite(value) && (scale === 'linear' || value > 0)

export function checkScale(name: string, scale: ScaleKind): void {
  if (scale !== 'linear' && scale !== 'log')
    throw new ConfigError(`${name} must be 'linear' or 'log', got '${scale}'`)
}

/**
 * Tick values of a log axis over `values`, which are above 0: the powers of ten, and 2 and 5 between them where there would
 * be fewer than three. Where even of those fewer than two lie between the values, which then are near each other, equal
 * steps as on a linear axis; a single value has its own tick.
 */
export function logTicks(values: readonly number[]): number[] {
  const [low, high] = range(values)
  if (low > high) return []
  const ticks = (steps: number[]) => {
    const found: number[] = []
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      // Read from decimal text, since 10 ** -5 and its like are a rounding error off.
      for (const step of steps) found.push(Number(`${step}e${power}`))
    }
    return found.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001)
  }
  const decades = ticks([1])
  if (decades.length >= 3) return decades
  const between = ticks([1, 2, 5])
  return between.length >= 2 ? between : linearTicks(low, high)
}

/** From 2 to 6 multiples of 1, 2 or 5 times a power of ten (vega drops every other of more); a value that is alone. */
function linearTicks(low: number, high: number): number[] {
  const span = high - low
  // Closer than this, numbers cannot be told apart in steps.
  if (!(span > 1e-13 * high)) return [low]
  const power = Math.floor(Math.log10(span / 5))
  const step = [1, 2, 5].find((step) => Number(`${step}e${power}`) >= span / 5) ?? 10
  const unit = Number(`${step}e${power}`)
  const ticks: number[] = []
  for (let i = Math.ceil(low / unit); i <= Math.floor(high / unit); i++)
    ticks.push(Number(`${i * step}e${power}`))
  return ticks
}

/** Vega expression for the labels of a log axis: plain numbers near 1, else powers of ten as in 1e-3. */
export function logLabels(values: readonly number[]): string {
  const [low, high] = range(values)
  const digits = significantDigits(values)
  const precision = digits > 6 ? `.${digits}` : ''
  if (low >= 0.01 && high <= 1e5) return `format(datum.value, '${precision}~g')`
  return `replace(replace(format(datum.value, '${precision}~e'), 'e+0', ''), 'e+', 'e')`
}

/** How many digits tell apart the ticks of an axis over `values`: 6, or more where the values are near each other. */
export function significantDigits(values: readonly number[]): number {
  const [low, high] = range(values)
  const size = Math.max(Math.abs(low), Math.abs(high))
  if (!(high - low > 1e-13 * size)) return 6
  const digits = Math.floor(Math.log10(size)) - Math.floor(Math.log10((high - low) / 10)) + 1
  return Math.max(6, Math.min(15, digits))
}

/** The least and the greatest, without the limit on arguments that Math.min has; infinity and -infinity of nothing. */
export function range(values: Iterable<number>): [low: number, high: number] {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (const value of values) {
    if (value < low) low = value
    if (value > high) high = value
  }
  return [low, high]
}

/** A number for a label: three significant digits, in powers of ten where that is shorter. */
export function shortNumber(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  if (size < 0.1 || size >= 1e5)
    return value
      .toExponential(2)
      .replace(/\.?0+e/, 'e')
      .replace('e+', 'e')
  return String(Number(value.toPrecision(3)))
}
