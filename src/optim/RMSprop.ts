import { type Tensor, zerosLike } from '../engine/index.ts'
import { callInPlace } from '../engine/native.ts'
import {
  checkRange,
  Optimizer,
  type OptimizerOptions,
  type ParamGroup,
  type ParamsInput,
} from './Optimizer.ts'

export interface RMSpropOptions extends OptimizerOptions {
  /** Learning rate. Default 1e-2. */
  lr?: number
  /** Decay rate of the running mean of the squared gradient. Default 0.99. */
  alpha?: number
  /** Added to the root of the mean square. Default 1e-8. */
  eps?: number
  /** Share of the last step that goes into this one. Default 0. */
  momentum?: number
  /** Divides by the deviation instead of the root mean square. Default false. */
  centered?: boolean
  /** Strength of weight decay. Default 0. */
  weightDecay?: number
  /** Shrinks the weights by 1 - lr · weightDecay instead of adding to the gradient. Default false. */
  decoupledWeightDecay?: boolean
}

const defaults: Required<RMSpropOptions> = {
  lr: 1e-2,
  alpha: 0.99,
  eps: 1e-8,
  momentum: 0,
  centered: false,
  weightDecay: 0,
  decoupledWeightDecay: false,
}

/** RMSprop (Hinton's lecture 6e, centred: Graves 2013), as PyTorch defines it. */
export class RMSprop extends Optimizer<RMSpropOptions> {
  protected override readonly remembers = {
    squareAvg: 'tensor',
    gradAvg: 'tensor or none',
    momentumBuffer: 'tensor or none',
  } as const

  constructor(params: ParamsInput<RMSpropOptions>, options: RMSpropOptions = {}) {
    super(params, options, defaults)
  }

  protected override checkOptions(options: Required<RMSpropOptions>): void {
    checkRange('RMSprop', 'lr', options.lr, 0)
    checkRange('RMSprop', 'alpha', options.alpha, 0)
    checkRange('RMSprop', 'eps', options.eps, 0)
    checkRange('RMSprop', 'momentum', options.momentum, 0)
    checkRange('RMSprop', 'weightDecay', options.weightDecay, 0)
  }

  protected override stepGroup(group: ParamGroup<RMSpropOptions>, params: Tensor[], grads: Tensor[]): void {
    const squares: Tensor[] = []
    const averages: Tensor[] = []
    const buffers: Tensor[] = []
    for (const param of params) {
      const state = this.stateOf<Record<string, Tensor>>(param, () => ({
        squareAvg: zerosLike(param).keep(),
      }))
      squares.push(state.squareAvg!)
      if (group.centered) {
        state.gradAvg ??= zerosLike(param).keep()
        averages.push(state.gradAvg)
      }
      if (group.momentum > 0) {
        state.momentumBuffer ??= zerosLike(param).keep()
        buffers.push(state.momentumBuffer)
      }
    }
    const { lr, weightDecay, decoupledWeightDecay, alpha, eps, momentum } = group
    callInPlace(
      'rmsprop_step_',
      params,
      grads,
      squares,
      averages,
      buffers,
      lr,
      weightDecay,
      decoupledWeightDecay,
      alpha,
      eps,
      momentum,
    )
  }
}
