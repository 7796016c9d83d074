import { isFloatingPoint, noGrad, scope, type Tensor } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type {
  BatchBeginContext,
  EpochBeginContext,
  EpochEndContext,
  TrainBeginContext,
  TrainEndContext,
} from '../src/learner/events.ts'
import type { Learner } from '../src/learner/Learner.ts'
import { type BatchNorm, movingBatchNorms, recomputeBatchNorm } from '../src/learner/recomputeBatchNorm.ts'
import { listOf, nullable, type StateCheck, tensorOf, truth } from '../src/learner/stateChecks.ts'

export interface WeightAverageOptions {
  /** Validate with the averages. Default true. */
  validate?: boolean
}

/**
 * Base of callbacks that average the weights that training goes through. The averages stand in the model during validation (so that
 * metrics are theirs, and SaveModelCallback saves them) and after the fit, unless SaveModelCallback loads its best model then; training
 * itself goes on with its own weights.
 */
export abstract class WeightAverageCallback extends Callback {
  /** At the end of an epoch after those who look at the validated model, and before checkpoints. */
  override order = 60
  /** What SaveModelCallback loads at the end of the fit stays: the averages, or after an error the weights of training, come before. */
  override readonly endOrder = -60
  override readonly runsInLrFind = false
  /** Whether statistics of batch norm are computed anew for the averages, by a pass over the training data, or averaged too. */
  protected abstract readonly recomputes: boolean
  readonly #validates: boolean
  #learner: Learner | undefined
  /** Parameters and buffers, in the model's order. */
  #tensors: Tensor[] = []
  #averages: Tensor[] | undefined
  /** The weights of training, while the averages stand in the model. */
  #training: Tensor[] | undefined
  /** The averages stay: the last epoch is over. */
  #final = false
  #norms: BatchNorm[] = []

  constructor(validate: boolean) {
    super()
    this.#validates = validate
  }

  /** Whether there are averages yet. */
  protected get started(): boolean {
    return this.#averages !== undefined
  }

  /** Moves the averages towards the weights as they are, by a share of the difference. The first time they are the weights. */
  protected average(share: number): void {
    withoutTrace(() => {
      if (!this.#averages) {
        this.#averages = copiesOf(this.#tensors)
        return
      }
      for (const [i, average] of this.#averages.entries()) {
        average.mul_(1 - share).add_(this.#tensors[i]!.detach().mul(share))
      }
    })
  }

  override onTrainBegin({ learner }: TrainBeginContext): void {
    this.#forget()
    this.#learner = learner
    this.#final = false
    this.#tensors = [...learner.model.parameters(), ...learner.model.buffers()].filter(({ dtype }) =>
      isFloatingPoint(dtype),
    )
  }

  override onEpochBegin({ learner }: EpochBeginContext): void {
    this.#norms = movingBatchNorms(learner)
  }

  override steering(): CallbackState {
    return { validate: this.#validates, recomputes: this.recomputes }
  }

  override stateDict(): CallbackState {
    return {
      averages: this.#averages ?? null,
      training: this.#training && !this.#final ? this.#training : null,
      final: this.#final,
    }
  }

  override loadStateDict(state: {
    averages: Tensor[] | null
    training: Tensor[] | null
    final: boolean
  }): void {
    const { name } = this.constructor
    const tensors: StateCheck = (value, where) => {
      listOf(tensorOf(), this.#tensors.length)(value, where)
      for (const [i, { shape }] of this.#tensors.entries())
        tensorOf(shape)((value as Tensor[])[i], `${where}[${i}]`)
    }
    nullable(tensors)(state.averages, `${name}.averages`)
    nullable(tensors)(state.training, `${name}.training`)
    truth(state.final, `${name}.final`)
    this.#forget()
    this.#averages = state.averages ? copiesOf(state.averages) : undefined
    this.#final = state.final
    // A checkpoint of a validation has the averages in its model.
    if (state.training) putInPlace(this.#tensors, state.training)
  }

  override async onBatchBegin({ train, epochs }: BatchBeginContext): Promise<void> {
    // Not where somebody validates or predicts on their own in the middle of training, which has its own weights.
    const isOfFit = epochs > 0
    if (!train && isOfFit && this.#learner && this.#validates) await this.#swapIn()
  }

  override async onEpochEnd({ epoch, epochs, stopTraining }: EpochEndContext): Promise<void> {
    this.#final = stopTraining || epoch + 1 >= epochs
    if (this.#final) await this.#swapIn()
    else this.#swapBack()
  }

  override async onTrainEnd({ exception }: TrainEndContext): Promise<void> {
    try {
      if (exception !== undefined) this.#swapBack()
      else if (!this.#final) await this.#swapIn()
    } finally {
      this.#forget()
      this.#learner = undefined
      this.#tensors = []
    }
  }

  async #swapIn(): Promise<void> {
    if (this.#training || !this.#averages) return
    this.#training = copiesOf(this.#tensors)
    putInPlace(this.#tensors, this.#averages)
    if (this.recomputes) await recomputeBatchNorm(this.#learner!, this.#norms)
  }

  #swapBack(): void {
    if (!this.#training) return
    putInPlace(this.#tensors, this.#training)
    for (const tensor of this.#training) tensor.dispose()
    this.#training = undefined
  }

  #forget(): void {
    for (const tensor of [...(this.#averages ?? []), ...(this.#training ?? [])]) tensor.dispose()
    this.#averages = this.#training = undefined
  }
}

/** Nothing is recorded for gradients, and intermediate tensors are freed. */
function withoutTrace(body: () => void): void {
  noGrad(() => scope(body))
}

function copiesOf(tensors: readonly Tensor[]): Tensor[] {
  const copies: Tensor[] = []
  withoutTrace(() => {
    for (const tensor of tensors) copies.push(tensor.detach().clone().keep())
  })
  return copies
}

function putInPlace(tensors: readonly Tensor[], values: readonly Tensor[]): void {
  withoutTrace(() => {
    for (const [i, tensor] of tensors.entries()) tensor.detach().copy_(values[i]!)
  })
}
