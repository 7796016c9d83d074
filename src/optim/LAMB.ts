import { type Tensor, zerosLike } from '../engine/index.ts'
import { callInPlace } from '../engine/native.ts'
import {
  checkBetas,
  checkRange,
  Optimizer,
  type OptimizerOptions,
  type ParamGroup,
  type ParamsInput,
} from './Optimizer.ts'

export interface LAMBOptions extends OptimizerOptions {
  /** Learning rate. Default 1e-3. */
  lr?: number
  /** Decay rates of the running means of the gradient and of its square. Default [0.9, 0.999]. */
  betas?: readonly [number, number]
  /** Added to the root of the mean square. Default 1e-6. */
  eps?: number
  /** Strength of weight decay, which is part of the direction and of its norm. Default 0. */
  weightDecay?: number
}

interface LAMBState extends Record<string, Tensor | number> {
  /** Steps taken. */
  step: number
  expAvg: Tensor
  expAvgSq: Tensor
}

const defaults: Required<LAMBOptions> = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-6, weightDecay: 0 }

/**
 * LAMB (You et al. 2020), for large batches: Adam's direction plus weightDecay · param, of which each parameter tensor takes a
 * step as long as lr times its own norm (lr times the direction where either norm is 0). Bias-corrected, without a bound on the norm.
 */
export class LAMB extends Optimizer<LAMBOptions> {
  protected override readonly remembers = { step: 'count', expAvg: 'tensor', expAvgSq: 'tensor' } as const

  constructor(params: ParamsInput<LAMBOptions>, options: LAMBOptions = {}) {
    super(params, options, defaults)
  }

  protected override checkOptions(options: Required<LAMBOptions>): void {
    checkRange('LAMB', 'lr', options.lr, 0)
    checkBetas('LAMB', options.betas)
    checkRange('LAMB', 'eps', options.eps, 0)
    checkRange('LAMB', 'weightDecay', options.weightDecay, 0)
  }

  protected override stepGroup(group: ParamGroup<LAMBOptions>, params: Tensor[], grads: Tensor[]): void {
    const averages: Tensor[] = []
    const squares: Tensor[] = []
    const steps: number[] = []
    for (const param of params) {
      const state = this.stateOf<LAMBState>(param, () => ({
        step: 0,
        expAvg: zerosLike(param).keep(),
        expAvgSq: zerosLike(param).keep(),
      }))
      steps.push(++state.step)
      averages.push(state.expAvg)
      squares.push(state.expAvgSq)
    }
    const { lr, weightDecay, betas, eps } = group
    callInPlace(
      'lamb_step_',
      params,
      grads,
      averages,
      squares,
      steps,
      lr,
      weightDecay,
      betas[0],
      betas[1],
      eps,
    )
  }
}
