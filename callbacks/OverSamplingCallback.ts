import { DataLoader } from '../src/data/DataLoader.ts'
import { WeightedSampler } from '../src/data/WeightedSampler.ts'
import { ConfigError } from '../src/engine/errors.ts'
import { Tensor } from '../src/engine/index.ts'
import { crc32Of } from '../src/io/checksum.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { BatchLoader } from '../src/learner/data.ts'
import type { TrainBeginContext, TrainEndContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'

export interface OverSamplingOptions {
  /** Class of each training item. Default: the dataset's own, where it has `labels`, or a tensor of class indices for `y`. */
  labels?: ArrayLike<number>
  /** How often each training item should come, in proportion. Default: one over the size of its class. */
  weights?: ArrayLike<number>
}

/**
 * Draws training items with replacement, so that all classes come equally often: an epoch is as many items as there would be if each class
 * had as many as the largest, as in fastai. The training loader is exchanged during the fit. Learning-rate sweeps see the data
 * as they are.
 */
export class OverSamplingCallback extends Callback {
  /** Before schedules, which ask for the length of an epoch. */
  override order = -20
  override readonly runsInLrFind = false
  readonly #labels: ArrayLike<number> | undefined
  readonly #weights: ArrayLike<number> | undefined
  #original: DataLoader | undefined

  constructor(options: OverSamplingOptions = {}) {
    super()
    rejectUnknownOptions('OverSamplingCallback', options, ['labels', 'weights'])
    this.#labels = options.labels
    this.#weights = options.weights
  }

  /** @throws ConfigError if the classes of the items are not known, or are not as many as the items */
  override async onTrainBegin({ learner: { data }, batchesPerEpoch }: TrainBeginContext) {
    const { trainDl } = data
    if (!(trainDl instanceof DataLoader)) {
      throw new ConfigError(
        'OverSamplingCallback needs a DataLoader as training data: it gives it another sampler',
      )
    }
    const items = trainDl.dataset.length
    const labels = this.#labels ?? (await labelsOf(trainDl.dataset))
    if (!labels) {
      throw new ConfigError(
        'OverSamplingCallback does not know the classes of the items of this dataset: pass { labels }, one class index for each',
      )
    }
    checkLength('labels', labels, items)
    const counts = new Map<number, number>()
    for (const label of Array.from(labels)) counts.set(label, (counts.get(label) ?? 0) + 1)
    const weights = this.#weights ?? Array.from(labels, (label) => 1 / counts.get(label)!)
    checkLength('weights', weights, items)
    const sampler = new WeightedSampler(weights, counts.size * Math.max(...counts.values()))
    this.#original = trainDl as DataLoader
    const loader = trainDl.with({ shuffle: false, sampler })
    exchange(data, loader)
    // A fit may be limited to fewer batches than the loader has.
    const isLimited = batchesPerEpoch < trainDl.length
    return { batchesPerEpoch: isLimited ? Math.min(batchesPerEpoch, loader.length) : loader.length }
  }

  override steering(): CallbackState {
    // What it draws follows from the loader's seed, and from these.
    const given = { labels: this.#labels, weights: this.#weights }
    return Object.fromEntries(
      Object.entries(given).flatMap(([name, values]) => (values ? [[name, fingerprintOf(values)]] : [])),
    )
  }

  /** The loader that was there goes on after the epochs that have passed. */
  override onTrainEnd({ learner: { data } }: TrainEndContext): void {
    if (!this.#original) return
    const { seed, epoch, batch } = (data.trainDl as DataLoader).state()
    this.#original.loadState({ seed, epoch: batch > 0 ? epoch + 1 : epoch, batch: 0 })
    exchange(data, this.#original)
    this.#original = undefined
  }
}

function fingerprintOf(values: ArrayLike<number>): number {
  return crc32Of(new Uint8Array(Float64Array.from(values).buffer))
}

function exchange(data: { readonly trainDl: BatchLoader }, loader: unknown): void {
  const target = data as { trainDl: BatchLoader }
  target.trainDl = loader as BatchLoader
}

async function labelsOf(dataset: object): Promise<ArrayLike<number> | undefined> {
  const { labels, y } = dataset as { labels?: unknown; y?: unknown }
  if (Array.isArray(labels) || ArrayBuffer.isView(labels)) return labels as unknown as ArrayLike<number>
  if (y instanceof Tensor && y.shape.length === 1) return Array.from(await y.data(), Number)
  return undefined
}

function checkLength(what: string, values: ArrayLike<number>, items: number): void {
  if (values.length === items) return
  throw new ConfigError(`OverSamplingCallback: got ${values.length} ${what} for ${items} training items`)
}
