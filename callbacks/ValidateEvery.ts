import { ConfigError } from '../src/engine/errors.ts'
import { getRngState, setRngState } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { BatchLoader } from '../src/learner/data.ts'
import { formatValue } from '../src/learner/epochTable.ts'
import type { BatchEndContext, TrainBeginContext } from '../src/learner/events.ts'
import { checkCount, rejectUnknownOptions } from '../src/learner/options.ts'
import { anyNumber, count, fields, listOf, mapOf, nullable } from '../src/learner/stateChecks.ts'

export interface ValidateEveryOptions {
  /** Training batches from one validation to the next. */
  batches: number
  /** What to validate on. Default: the validation data. */
  loader?: BatchLoader
}

/** What a validation in the middle of an epoch found. */
export interface StepValidation {
  readonly epoch: number
  /** Training batches done in the fit. */
  readonly iteration: number
  /** `loss` and the metrics, as `learner.validate` gives them. */
  readonly values: Readonly<Record<string, number>>
}

/**
 * Validates in the middle of epochs, where those are long: `results` has what came out, and unless the Learner is silent it is printed.
 * Training goes on as if nothing had been. What saves, stops and logs goes by the ends of epochs; for them to look
 * more often, make the epochs shorter, with `maxBatches`.
 */
export class ValidateEvery extends Callback {
  override readonly runsInLrFind = false
  readonly batches: number
  readonly loader: BatchLoader | undefined
  /** Those of the latest fit. */
  results: StepValidation[] = []

  /** `new ValidateEvery(200)` is `new ValidateEvery({ batches: 200 })`. */
  constructor(options: number | ValidateEveryOptions) {
    super()
    const given = typeof options === 'number' ? { batches: options } : (options ?? {})
    rejectUnknownOptions('ValidateEvery', given, ['batches', 'loader'])
    const { batches, loader } = given as ValidateEveryOptions
    checkCount('ValidateEvery', 'batches', batches, 1)
    this.batches = batches
    this.loader = loader
  }

  override onTrainBegin({ learner: { data } }: TrainBeginContext): void {
    if (!(this.loader ?? data.validDl)) {
      throw new ConfigError('ValidateEvery: there is no validation data; pass it a loader')
    }
    this.results = []
  }

  override stateDict(): CallbackState {
    return { results: this.results.map(({ values, ...result }) => ({ ...result, values: { ...values } })) }
  }

  override loadStateDict({ results }: { results: StepValidation[] }): void {
    const result = { epoch: count(), iteration: count(), values: mapOf(nullable(anyNumber)) }
    listOf(fields(result))(results, 'ValidateEvery.results')
    this.results = [...results]
  }

  override async onBatchEnd({ train, learner, epoch, iteration }: BatchEndContext): Promise<void> {
    const done = iteration + 1
    if (!train || done % this.batches !== 0) return
    const loader = this.loader ?? learner.data.validDl!
    const position = loader.state?.()
    const random = getRngState()
    const values = await learner.validate(loader)
    setRngState(random)
    if (position !== undefined) loader.loadState?.(position)
    this.results.push({ epoch, iteration: done, values })
    if (learner.silent) return
    const text = Object.entries(values).map(([name, value]) => `${name} ${formatValue(value)}`)
    const clear = process.stdout.isTTY ? '\r\x1b[K' : ''
    process.stdout.write(`${clear}      after ${done} batches: ${text.join('  ')}\n`)
  }
}
