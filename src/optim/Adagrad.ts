import { type Tensor, zerosLike } from '../engine/index.ts'
import { callInPlace } from '../engine/native.ts'
import {
  checkRange,
  Optimizer,
  type OptimizerOptions,
  type ParamGroup,
  type ParamsInput,
} from './Optimizer.ts'

export interface AdagradOptions extends OptimizerOptions {
  /** Learning rate. Default 1e-2. */
  lr?: number
  /** The rate becomes lr / (1 + steps · lrDecay). Default 0. */
  lrDecay?: number
  /** What the sums of squares start from. Default 0. */
  initialAccumulatorValue?: number
  /** Added to the root of the sum. Default 1e-10. */
  eps?: number
  /** Strength of weight decay. Default 0. */
  weightDecay?: number
  /** Shrinks the weights by 1 - lr · weightDecay instead of adding to the gradient. Default false. */
  decoupledWeightDecay?: boolean
}

interface AdagradState extends Record<string, Tensor | number> {
  /** Steps taken. */
  step: number
  sum: Tensor
}

const defaults: Required<AdagradOptions> = {
  lr: 1e-2,
  lrDecay: 0,
  initialAccumulatorValue: 0,
  eps: 1e-10,
  weightDecay: 0,
  decoupledWeightDecay: false,
}

/** Adagrad (Duchi et al. 2011), as PyTorch defines it. */
export class Adagrad extends Optimizer<AdagradOptions> {
  protected override readonly remembers = { step: 'count', sum: 'tensor' } as const

  constructor(params: ParamsInput<AdagradOptions>, options: AdagradOptions = {}) {
    super(params, options, defaults)
  }

  protected override checkOptions(options: Required<AdagradOptions>): void {
    for (const name of ['lr', 'lrDecay', 'initialAccumulatorValue', 'eps', 'weightDecay'] as const) {
      checkRange('Adagrad', name, options[name], 0)
    }
  }

  protected override stepGroup(group: ParamGroup<AdagradOptions>, params: Tensor[], grads: Tensor[]): void {
    const sums: Tensor[] = []
    const steps: number[] = []
    for (const param of params) {
      const state = this.stateOf<AdagradState>(param, () => ({
        step: 0,
        sum: zerosLike(param).fill_(group.initialAccumulatorValue).keep(),
      }))
      steps.push(++state.step)
      sums.push(state.sum)
    }
    const { lr, weightDecay, decoupledWeightDecay, lrDecay, eps } = group
    callInPlace(
      'adagrad_step_',
      params,
      grads,
      sums,
      steps,
      lr,
      weightDecay,
      decoupledWeightDecay,
      lrDecay,
      eps,
    )
  }
}
