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

export interface AdamOptions extends OptimizerOptions {
  /** Learning rate. Default 1e-3. */
  lr?: number
  /** Decay rates of the running means of the gradient and of its square. Default [0.9, 0.999]. */
  betas?: readonly [number, number]
  /** Added to the root of the mean square. Default 1e-8. */
  eps?: number
  /** Strength of weight decay. Default 0 (AdamW: 0.01). */
  weightDecay?: number
  /** Shrinks the weights by 1 - lr · weightDecay instead of adding to the gradient. Default false (AdamW: true). */
  decoupledWeightDecay?: boolean
  /** Divides by the largest mean square so far (Reddi et al. 2018). Default false. */
  amsgrad?: boolean
}

interface AdamState extends Record<string, Tensor | number> {
  /** Steps taken. */
  step: number
  expAvg: Tensor
  expAvgSq: Tensor
}

const defaults: Required<AdamOptions> = {
  lr: 1e-3,
  betas: [0.9, 0.999],
  eps: 1e-8,
  weightDecay: 0,
  decoupledWeightDecay: false,
  amsgrad: false,
}

/** Adam (Kingma and Ba 2015), as PyTorch defines it. */
export class Adam extends Optimizer<AdamOptions> {
  protected override readonly remembers = {
    step: 'count',
    expAvg: 'tensor',
    expAvgSq: 'tensor',
    maxExpAvgSq: 'tensor or none',
  } as const

  constructor(params: ParamsInput<AdamOptions>, options: AdamOptions = {}, ownDefaults = defaults) {
    super(params, options, ownDefaults)
  }

  protected override checkOptions(options: Required<AdamOptions>): void {
    const name = this.constructor.name
    checkRange(name, 'lr', options.lr, 0)
    checkBetas(name, options.betas)
    checkRange(name, 'eps', options.eps, 0)
    checkRange(name, 'weightDecay', options.weightDecay, 0)
  }

  protected override stepGroup(group: ParamGroup<AdamOptions>, params: Tensor[], grads: Tensor[]): void {
    const averages: Tensor[] = []
    const squares: Tensor[] = []
    const largestSquares: Tensor[] = []
    const steps: number[] = []
    for (const param of params) {
      const state = this.stateOf<AdamState>(param, () => ({
        step: 0,
        expAvg: zerosLike(param).keep(),
        expAvgSq: zerosLike(param).keep(),
      }))
      steps.push(++state.step)
      averages.push(state.expAvg)
      squares.push(state.expAvgSq)
      if (group.amsgrad) {
        state.maxExpAvgSq ??= zerosLike(param).keep()
        largestSquares.push(state.maxExpAvgSq as Tensor)
      }
    }
    const { lr, weightDecay, decoupledWeightDecay, betas, eps } = group
    callInPlace(
      'adam_step_',
      params,
      grads,
      averages,
      squares,
      largestSquares,
      steps,
      lr,
      weightDecay,
      decoupledWeightDecay,
      betas[0],
      betas[1],
      eps,
    )
  }
}

/** Adam with decoupled weight decay (Loshchilov and Hutter 2019): 0.01 unless told otherwise. */
export class AdamW extends Adam {
  constructor(params: ParamsInput<AdamOptions>, options: AdamOptions = {}) {
    super(params, options, { ...defaults, weightDecay: 1e-2, decoupledWeightDecay: true })
  }
}
