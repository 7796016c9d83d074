import { requireNumber, show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'

/**
 * A pure curve between two values: `start` at fraction 0, `end` at fraction 1. Named and defined as fastai's
 * `annealing_*` functions (https://docs.fast.ai, v1 `callback.py`).
 */
export type AnnealingCurve = (start: number, end: number, fraction: number) => number

function requireNumbers(curve: string, start: number, end: number, fraction: number): void {
  requireNumber(curve, 'start', start)
  requireNumber(curve, 'end', end)
  requireNumber(curve, 'fraction', fraction)
}

/** Stays at `start`. */
export function annealingNo(start: number, _end: number, _fraction: number): number {
  return start
}

/** A straight line. */
export function annealingLinear(start: number, end: number, fraction: number): number {
  requireNumbers('annealingLinear', start, end, fraction)
  return start + fraction * (end - start)
}

/**
 * A geometric progression, as the learning-rate finder sweeps.
 * @throws ConfigError unless both ends are on the same side of zero.
 */
export function annealingExp(start: number, end: number, fraction: number): number {
  requireNumbers('annealingExp', start, end, fraction)
  if (!(start * end > 0)) {
    throw new ConfigError(
      `exponential annealing needs two values of the same sign, neither zero; got ${start} to ${end}`,
    )
  }
  return start * (end / start) ** fraction
}

/** Half a cosine wave: flat at both ends (Loshchilov & Hutter, "SGDR", 2017). */
export function annealingCosine(start: number, end: number, fraction: number): number {
  requireNumbers('annealingCosine', start, end, fraction)
  return end + ((start - end) / 2) * (1 + Math.cos(Math.PI * fraction))
}

/** A quarter of a cosine wave: flat at the start only, steepest at the end. */
export function annealingHalfCosine(start: number, end: number, fraction: number): number {
  requireNumbers('annealingHalfCosine', start, end, fraction)
  return end + (start - end) * Math.cos((Math.PI / 2) * fraction)
}

/** A curve `end + (start - end) * (1 - fraction) ** degree`. `annealingPoly(1)` is a straight line. */
export function annealingPoly(degree: number): AnnealingCurve {
  if (!(typeof degree === 'number' && degree > 0)) {
    throw new ConfigError(`polynomial annealing needs a degree above 0, got ${show(degree)}`)
  }
  return (start, end, fraction) => end + (start - end) * (1 - fraction) ** degree
}
