import { requireNumber, requireOptions, show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'

/** 'triangular' keeps the height of the cycles, 'triangular2' halves it each time, 'exp_range' multiplies it by gamma every step. */
export type CyclicMode = 'triangular' | 'triangular2' | 'exp_range'

/** The cycles of {@link cyclicHeight}. */
export interface Cycles {
  /** Steps of the rise. */
  stepSizeUp: number
  /** Steps of the fall. Default: as the rise. */
  stepSizeDown?: number
  /** Default 'triangular'. */
  mode?: CyclicMode
  /** Base of the decay of 'exp_range'. Default 1. */
  gamma?: number
}

/**
 * How high a cyclical schedule stands after `step` steps, between 0 (its lower bound) and 1 (its upper): up and down in straight
 * lines, shrunk by the mode (Smith, "Cyclical learning rates for training neural networks", 2017).
 */
export function cyclicHeight(step: number, cycles: Cycles): number {
  requireNumber('cyclicHeight', 'step', step)
  requireOptions('cyclicHeight', cycles)
  requireNumber('cyclicHeight', 'stepSizeUp', cycles.stepSizeUp)
  const { stepSizeUp, stepSizeDown = stepSizeUp, mode = 'triangular', gamma = 1 } = cycles
  const length = stepSizeUp + stepSizeDown
  const cycle = Math.floor(1 + step / length)
  const position = 1 + step / length - cycle
  const top = stepSizeUp / length
  const height = position <= top ? position / top : (position - 1) / (top - 1)
  if (mode === 'triangular2') return height / 2 ** (cycle - 1)
  return mode === 'exp_range' ? height * gamma ** step : height
}

/** @throws ConfigError for a mode that does not exist */
export function checkCyclicMode(owner: string, mode: unknown): asserts mode is CyclicMode {
  if (!['triangular', 'triangular2', 'exp_range'].includes(mode as string)) {
    throw new ConfigError(`${owner}: unknown mode ${show(mode)}; choose triangular, triangular2 or exp_range`)
  }
}

/**
 * How far a schedule with warm restarts is from its last restart, as a fraction from 0 (just restarted) to below 1, after
 * `step` steps (Loshchilov & Hutter, "SGDR", 2017).
 *
 * @param length steps of the first period
 * @param factor by which each period is longer than the one before
 */
export function restartFraction(step: number, length: number, factor = 1): number {
  if (
    !(
      Number.isFinite(step) &&
      Number.isFinite(length) &&
      length > 0 &&
      Number.isFinite(factor) &&
      factor >= 1
    )
  ) {
    throw new ConfigError(
      `restartFraction: expected a finite step, a positive length and a factor of at least 1, got ` +
        `${show(step)}, ${show(length)} and ${show(factor)}`,
    )
  }
  if (factor === 1 && step >= 0) return (step % length) / length
  let start = 0
  let period = length
  while (step >= start + period) {
    start += period
    period *= factor
  }
  return (step - start) / period
}
