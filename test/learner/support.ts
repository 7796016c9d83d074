import { DataLoader, TensorDataset } from '../../src/data/index.ts'
import { tensor } from '../../src/engine/index.ts'
import {
  type BatchEndContext,
  Callback,
  type EpochEndContext,
  type EventContexts,
  Learner,
  type LearnerData,
  type LearnerOptions,
} from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'

export interface LineOptions {
  /** Training batches. Default 5. */
  batches?: number
  batchSize?: number
  /** Validation batches; 0 for no validation data. Default 2. */
  validBatches?: number
  shuffle?: boolean
}

/** Points of y = 3x, x = 0.1, 0.2, … */
export function lineData(options: LineOptions = {}): LearnerData {
  const { batches = 5, batchSize = 2, validBatches = 2, shuffle = false } = options
  const loader = (count: number) => {
    const x = Array.from({ length: count * batchSize }, (_, i) => [(i + 1) / 10])
    const dataset = new TensorDataset(tensor(x), tensor(x.map(([value]) => [3 * value!])))
    return new DataLoader(dataset, { batchSize, shuffle, seed: 7 })
  }
  return { trainDl: loader(batches), validDl: validBatches > 0 ? loader(validBatches) : null }
}

/** y = w x, beginning at w = 1. */
export function lineModel(): nn.Linear {
  const model = new nn.Linear(1, 1, { bias: false })
  model.weight.detach().fill_(1)
  return model
}

/** A learner of one weight, by plain SGD without decay unless told otherwise. */
export function lineLearner(data: LineOptions & Partial<LearnerOptions> = {}): Learner {
  const { batches, batchSize, validBatches, shuffle, ...options } = data
  return new Learner(lineData(data), lineModel(), {
    lossFunction: new nn.MSELoss(),
    optimizer: optim.SGD,
    wd: 0,
    silent: true,
    ...options,
  })
}

export function weightOf(learner: Learner): number {
  return (learner.model as unknown as nn.Linear).weight.item()
}

/** Writes down the events that it hears. */
export class Witness extends Callback {
  readonly events: string[] = []
  override onTrainBegin(_: EventContexts['onTrainBegin']) {
    this.events.push('TB')
  }
  override onEpochBegin(_: EventContexts['onEpochBegin']) {
    this.events.push('EB')
  }
  override onBatchBegin({ train }: EventContexts['onBatchBegin']) {
    this.events.push(train ? 'BB' : 'bb')
  }
  override onLossBegin({ train }: EventContexts['onLossBegin']) {
    this.events.push(train ? 'LB' : 'lb')
  }
  override onBackwardBegin(_: EventContexts['onBackwardBegin']) {
    this.events.push('KB')
  }
  override onBackwardEnd(_: EventContexts['onBackwardEnd']) {
    this.events.push('KE')
  }
  override onStepEnd(_: EventContexts['onStepEnd']) {
    this.events.push('SE')
  }
  override onBatchEnd({ train }: BatchEndContext) {
    this.events.push(train ? 'BE' : 'be')
  }
  override onEpochEnd(_: EpochEndContext) {
    this.events.push('EE')
  }
  override onTrainEnd({ exception }: EventContexts['onTrainEnd']) {
    this.events.push(exception === undefined ? 'TE' : 'TE!')
  }
}

/** Sets the values of the epochs as given, in place of the validation's. */
export class Canned extends Callback {
  override order = -20
  readonly #name: string
  readonly #values: readonly number[]

  constructor(values: readonly number[], name = 'validLoss') {
    super()
    this.#values = values
    this.#name = name
  }

  override onEpochEnd({ epoch }: EpochEndContext) {
    return { lastMetrics: { [this.#name]: this.#values[epoch] ?? null } }
  }
}

/** Fails at the n-th batch that ends, in training and validation counted together. */
export class Fail extends Callback {
  #left: number
  constructor(at: number) {
    super()
    this.#left = at
  }

  override onBatchEnd() {
    if (this.#left-- === 0) throw new Error('out of luck')
  }
}

/** A callback with one event, made on the spot. */
export function on<Context>(event: string, handler: (context: Context) => unknown, order = 0): Callback {
  class OnTheSpot extends Callback {
    override order = order
  }
  const callback = new OnTheSpot()
  Object.defineProperty(callback, event, { value: handler })
  return callback
}
