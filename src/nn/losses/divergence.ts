import { raised } from '../../engine/autocast.ts'
import { requireOptions } from '../../engine/check.ts'
import { type Tensor, where } from '../../engine/index.ts'
import { checkSameShape, reduce } from './elementwise.ts'
import { Loss } from './Loss.ts'

/** 'batchmean' is the divergence as mathematics defines it: the sum over everything, divided by the batch size. */
export type KLDivReduction = 'none' | 'mean' | 'batchmean' | 'sum'

export interface KLDivLossOptions {
  /** Default 'mean', as in PyTorch; 'batchmean' is what is usually meant. */
  reduction?: KLDivReduction
  /** The target holds log-probabilities too. Default false. */
  logTarget?: boolean
}

const reductions: readonly string[] = ['none', 'mean', 'batchmean', 'sum']

/** Kullback-Leibler divergence of the target distribution from log-probabilities: target · (log target - output). */
export function klDiv(output: Tensor, target: Tensor, options: KLDivLossOptions = {}): Tensor {
  requireOptions('klDiv', options, ['reduction', 'logTarget'])
  const { reduction = 'mean', logTarget = false } = options
  checkSameShape('klDiv', output, target)
  output = raised(output)
  target = raised(target)
  const losses = logTarget
    ? target.exp().mul(target.sub(output))
    : // 0 · log 0 is 0: where the target is 0 the logarithm is taken of 1 instead.
      target.mul(where(target.eq(0), 1, target).log()).sub(target.mul(output))
  if (reduction === 'batchmean') return losses.sum().div(output.shape[0] ?? 1)
  return reduce('klDiv', losses, reduction)
}

/** See {@link klDiv}. The model ends in a log-softmax; predictions are probabilities. */
export class KLDivLoss extends Loss<KLDivReduction> {
  readonly logTarget: boolean

  constructor(options: KLDivLossOptions = {}) {
    super(options, ['logTarget'])
    this.logTarget = options.logTarget ?? false
  }

  override forward(output: Tensor, target: Tensor): Tensor {
    return klDiv(output, target, { reduction: this.reduction, logTarget: this.logTarget })
  }

  override activation(output: Tensor): Tensor {
    return output.exp()
  }

  protected override knownReductions(): readonly string[] {
    return reductions
  }
}
