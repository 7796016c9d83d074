import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'
import { type Tensor, zerosLike } from '../engine/index.ts'
import { callInPlace } from '../engine/native.ts'
import {
  checkRange,
  Optimizer,
  type OptimizerOptions,
  type ParamGroup,
  type ParamsInput,
} from './Optimizer.ts'

export interface SGDOptions extends OptimizerOptions {
  /** Learning rate. Default 1e-3. */
  lr?: number
  /** Share of the last step that goes into this one. Default 0. */
  momentum?: number
  /** Share of the gradient that is held back from the momentum. Default 0. */
  dampening?: number
  /** Looks ahead by the momentum (Sutskever et al. 2013); needs momentum and no dampening. Default false. */
  nesterov?: boolean
  /** Strength of weight decay. Default 0. */
  weightDecay?: number
  /** Shrinks the weights by 1 - lr · weightDecay instead of adding to the gradient. Default false. */
  decoupledWeightDecay?: boolean
}

const defaults: Required<SGDOptions> = {
  lr: 1e-3,
  momentum: 0,
  dampening: 0,
  nesterov: false,
  weightDecay: 0,
  decoupledWeightDecay: false,
}

/**
 * Stochastic gradient descent, as PyTorch defines it: buffer = momentum · buffer + (1 - dampening) · grad (the first time: grad),
 * param -= lr · buffer.
 */
export class SGD extends Optimizer<SGDOptions> {
  protected override readonly remembers = { momentumBuffer: 'tensor' } as const

  constructor(params: ParamsInput<SGDOptions>, options: SGDOptions = {}) {
    super(params, options, defaults)
  }

  protected override checkOptions(options: Required<SGDOptions>): void {
    checkRange('SGD', 'lr', options.lr, 0)
    checkRange('SGD', 'momentum', options.momentum, 0)
    checkRange('SGD', 'weightDecay', options.weightDecay, 0)
    if (!Number.isFinite(options.dampening)) {
      throw new ConfigError(`SGD: dampening must be a number, got ${show(options.dampening)}`)
    }
    if (options.nesterov && (options.momentum <= 0 || options.dampening !== 0)) {
      throw new ConfigError('SGD: nesterov needs a momentum above 0 and no dampening')
    }
  }

  protected override stepGroup(group: ParamGroup<SGDOptions>, params: Tensor[], grads: Tensor[]): void {
    const buffers: Tensor[] = []
    const isFirst: number[] = []
    if (group.momentum !== 0) {
      for (const param of params) {
        isFirst.push(this.state.has(param) ? 0 : 1)
        buffers.push(this.stateOf(param, () => ({ momentumBuffer: zerosLike(param).keep() })).momentumBuffer)
      }
    }
    const { lr, weightDecay, decoupledWeightDecay, momentum, dampening, nesterov } = group
    callInPlace(
      'sgd_step_',
      params,
      grads,
      buffers,
      isFirst,
      lr,
      weightDecay,
      decoupledWeightDecay,
      momentum,
      dampening,
      nesterov,
    )
  }
}
