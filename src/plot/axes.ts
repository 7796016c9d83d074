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

/** Tick values of a log axis: the powers of ten, and 2 and 5 between them where there would be fewer than three. */
export function logTicks(values: readonly number[]): number[] {
  const [low, high] = positiveRange(values)
  const ticks = (steps: number[]) => {
    const found: number[] = []
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      // Read from decimal text, since 10 ** -5 and its like are a rounding error off.
      for (const step of steps) found.push(Number(`${step}e${power}`))
    }
    return found.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001)
  }
  if (low > high) return []
  const decades = ticks([1])
  return decades.length >= 3 ? decades : ticks([1, 2, 5])
}

/** Vega expression for the labels of a log axis: plain numbers near 1, else powers of ten as in 1e-3. */
export function logLabels(values: readonly number[]): string {
  const [low, high] = positiveRange(values)
  if (low >= 0.01 && high <= 1e5) return "format(datum.value, '~g')"
  return "replace(replace(format(datum.value, '~e'), 'e+0', ''), 'e+', 'e')"
}

function positiveRange(values: readonly number[]): [number, number] {
  let low = Number.POSITIVE_INFINITY
  let high = 0
  for (const value of values) {
    if (!(value > 0) || !Number.isFinite(value)) continue
    low = Math.min(low, value)
    high = Math.max(high, value)
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
