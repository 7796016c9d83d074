import { freemem } from 'node:os'
import { ConfigError, OutOfMemoryError } from '../engine/errors.ts'
import {
  emptyCache,
  getRngState,
  memoryStats,
  resetPeakMemory,
  setRngState,
  synchronize,
} from '../engine/index.ts'
import { Callback } from './Callback.ts'
import { type BatchLoader, batchSizeOf } from './data.ts'
import type { BatchEndContext } from './events.ts'
import type { Learner } from './Learner.ts'
import { checkCount, rejectUnknownOptions } from './options.ts'

export interface FindBatchSizeOptions {
  /** The first size that is tried; each is twice the one before. Default 2. */
  start?: number
  /** No larger size is tried. Default: the number of training items. */
  max?: number
  /** Training steps of each trial. Default 3. */
  steps?: number
  /** Bytes that the engine may use. Default: four fifths of what is free when it begins. */
  memory?: number
}

/** One batch size that was tried. */
export interface BatchSizeTrial {
  batchSize: number
  /** The most that the engine held at any moment. */
  peakBytes: number
  /** Of the steps after the first, in which caches fill. NaN with one step only. */
  samplesPerSecond: number
}

export interface BatchSizeResult {
  /** The largest size that fits. */
  batchSize: number
  /** The size with the most samples a second, which may be smaller. */
  fastest: number
  trials: BatchSizeTrial[]
}

/**
 * Doubles the batch size while a training step fits into memory. A size whose need, as the trials before show it to grow, exceeds the
 * memory is not tried. A line is printed for each, unless the Learner is silent. Everything is afterwards as it was before.
 */
export async function findLargestBatch(
  learner: Learner,
  fit: TrialFit,
  options: FindBatchSizeOptions = {},
): Promise<BatchSizeResult> {
  rejectUnknownOptions('findBatchSize', options, ['start', 'max', 'steps', 'memory'])
  const { trainDl } = learner.data
  const { start = 2, max = trainDl.dataset.length, steps = 3 } = options
  checkCount('findBatchSize', 'start', start, 1)
  checkCount('findBatchSize', 'steps', steps, 1)
  checkCount('findBatchSize', 'max', max, start)
  if (!trainDl.with) {
    throw new ConfigError(
      'findBatchSize needs training data whose batch size can be changed: a loader with with({ batchSize }), as DataLoader has it',
    )
  }
  emptyCache()
  const memory = options.memory ?? Math.floor(0.8 * freemem()) + memoryStats().bytesInUse
  if (!(memory > 0))
    throw new ConfigError(`findBatchSize: memory must be above 0 bytes, got ${String(memory)}`)
  const trials: BatchSizeTrial[] = []
  const random = getRngState()
  try {
    const limit = Math.min(max, trainDl.dataset.length)
    for (let size = start; size <= limit && expectedBytes(trials, size) <= memory; size *= 2) {
      const trial = await tryBatchSize(fit, trainDl.with({ batchSize: size }), steps)
      if (!trial || trial.peakBytes > memory) break
      trials.push({ batchSize: size, ...trial })
      if (!learner.silent) process.stdout.write(`${describe(trials.at(-1)!)}\n`)
    }
  } finally {
    setRngState(random)
    emptyCache()
  }
  const fitting = trials.at(-1)
  if (!fitting) {
    throw new ConfigError(
      `findBatchSize: not even a batch of ${start} fits into ${memory} bytes; begin with less, as { start: 1 }, or use smaller items`,
    )
  }
  const fastest = trials.reduce((best, trial) =>
    trial.samplesPerSecond > best.samplesPerSecond ? trial : best,
  )
  return { batchSize: fitting.batchSize, fastest: fastest.batchSize, trials }
}

function describe({ batchSize, peakBytes, samplesPerSecond }: BatchSizeTrial): string {
  const speed = Number.isNaN(samplesPerSecond) ? '' : `  ${samplesPerSecond.toFixed(1).padStart(9)} samples/s`
  return `batch size ${String(batchSize).padStart(5)}  ${(peakBytes / 1e6).toFixed(1).padStart(9)} MB${speed}`
}

/** Memory grows in a straight line with the batch: two trials tell the line. */
function expectedBytes(trials: readonly BatchSizeTrial[], size: number): number {
  const [before, last] = trials.slice(-2)
  if (!before || !last) return 0
  const slope = (last.peakBytes - before.peakBytes) / (last.batchSize - before.batchSize)
  return last.peakBytes + Math.max(0, slope) * (size - last.batchSize)
}

/** Runs a fit of so many epochs of `loader`, which one of the callbacks may end, and after which all is as before. */
export type TrialFit = (loader: BatchLoader, epochs: number, callbacks: readonly Callback[]) => Promise<void>

/** @returns undefined if memory ran out */
async function tryBatchSize(
  fit: TrialFit,
  loader: BatchLoader,
  steps: number,
): Promise<Omit<BatchSizeTrial, 'batchSize'> | undefined> {
  resetPeakMemory()
  const watch = new Stopwatch(steps)
  try {
    await fit(loader, Math.ceil(steps / Math.max(1, loader.length)), [watch])
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error
    return undefined
  }
  return { peakBytes: memoryStats().peakBytes, samplesPerSecond: watch.samplesPerSecond }
}

/** Ends a fit after so many steps. Counts the samples of all but the first, and the time that they take. */
class Stopwatch extends Callback {
  /** After all others. */
  override order = Number.POSITIVE_INFINITY
  readonly #steps: number
  #done = 0
  #samples = 0
  #began = 0
  #ended = 0

  constructor(steps: number) {
    super()
    this.#steps = steps
  }

  override onBatchEnd({ lastInput }: BatchEndContext) {
    synchronize()
    this.#ended = performance.now()
    if (this.#done++ === 0) this.#began = this.#ended
    else this.#samples += batchSizeOf(lastInput)
    return this.#done >= this.#steps ? { stopEpoch: true, stopTraining: true } : undefined
  }

  get samplesPerSecond(): number {
    return this.#samples > 0 ? (1000 * this.#samples) / (this.#ended - this.#began) : Number.NaN
  }
}
