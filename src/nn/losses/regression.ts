import { raised } from '../../engine/autocast.ts'
import { requireOptions, show } from '../../engine/check.ts'
import { ConfigError } from '../../engine/errors.ts'
import { isFloatingPoint, type Tensor } from '../../engine/index.ts'
import { squaredError } from '../../engine/ops/loss.ts'
import { checkSameShape, reduce } from './elementwise.ts'
import { Loss, type LossOptions } from './Loss.ts'

export interface SmoothL1LossOptions extends LossOptions {
  /** Difference at which the square turns into a line. Default 1; 0 is the L1 loss. */
  beta?: number
}

export interface HuberLossOptions extends LossOptions {
  /** Difference at which the square turns into a line. Default 1. */
  delta?: number
}

function difference(owner: string, output: Tensor, target: Tensor): Tensor {
  checkSameShape(owner, output, target)
  return raised(output).sub(raised(target))
}

/** Squared difference. @throws ShapeError when the shapes differ (no broadcasting) */
export function mseLoss(output: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  requireOptions('mseLoss', options, ['reduction'])
  const { reduction = 'mean' } = options
  checkSameShape('mseLoss', output, target)
  const [x, y] = [raised(output), raised(target)]
  if (x.dtype === y.dtype && isFloatingPoint(x.dtype)) return squaredError(x, y, reduction)
  return reduce('mseLoss', x.sub(y).square(), reduction)
}

/** Absolute difference. @throws ShapeError when the shapes differ (no broadcasting) */
export function l1Loss(output: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  requireOptions('l1Loss', options, ['reduction'])
  const { reduction = 'mean' } = options
  return reduce('l1Loss', difference('l1Loss', output, target).abs(), reduction)
}

/**
 * Root of the mean (or sum) of squared differences; with 'none' the absolute differences. Its gradient is not defined where
 * output and target are equal throughout.
 */
export function rmseLoss(output: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  requireOptions('rmseLoss', options, ['reduction'])
  const { reduction = 'mean' } = options
  const apart = difference('rmseLoss', output, target)
  return reduction === 'none' ? apart.abs() : reduce('rmseLoss', apart.square(), reduction).sqrt()
}

/** ½d² up to |d| = delta, delta·(|d| - ½delta) beyond (Huber 1964). */
export function huberLoss(output: Tensor, target: Tensor, options: HuberLossOptions = {}): Tensor {
  requireOptions('huberLoss', options, ['reduction', 'delta'])
  const { reduction = 'mean', delta = 1 } = options
  if (!(typeof delta === 'number' && delta > 0))
    throw new ConfigError(`huberLoss: delta must be positive, got ${show(delta)}`)
  return reduce('huberLoss', huber(difference('huberLoss', output, target), delta), reduction)
}

/** {@link huberLoss} divided by beta: ½d²/beta up to |d| = beta, |d| - ½beta beyond (Girshick 2015). */
export function smoothL1Loss(output: Tensor, target: Tensor, options: SmoothL1LossOptions = {}): Tensor {
  requireOptions('smoothL1Loss', options, ['reduction', 'beta'])
  const { reduction = 'mean', beta = 1 } = options
  if (!(typeof beta === 'number' && beta >= 0))
    throw new ConfigError(`smoothL1Loss: beta must not be negative, got ${show(beta)}`)
  const apart = difference('smoothL1Loss', output, target)
  return reduce('smoothL1Loss', beta === 0 ? apart.abs() : huber(apart, beta).div(beta), reduction)
}

/** With m = min(|d|, delta), both branches are m·(|d| - ½m), and so are their gradients. */
function huber(difference: Tensor, delta: number): Tensor {
  const size = difference.abs()
  const near = size.clamp(null, delta)
  return near.mul(size.sub(near.mul(0.5)))
}

/** Mean squared error. See {@link mseLoss}. */
export class MSELoss extends Loss {
  override forward(output: Tensor, target: Tensor): Tensor {
    return mseLoss(output, target, { reduction: this.reduction })
  }
}

/** Mean absolute error. See {@link l1Loss}. */
export class L1Loss extends Loss {
  override forward(output: Tensor, target: Tensor): Tensor {
    return l1Loss(output, target, { reduction: this.reduction })
  }
}

/** Root of the mean squared error. See {@link rmseLoss}. */
export class RMSELoss extends Loss {
  override forward(output: Tensor, target: Tensor): Tensor {
    return rmseLoss(output, target, { reduction: this.reduction })
  }
}

/** Square near zero, straight beyond. See {@link smoothL1Loss}. */
export class SmoothL1Loss extends Loss {
  readonly beta: number

  constructor(options: SmoothL1LossOptions = {}) {
    super(options, ['beta'])
    this.beta = options.beta ?? 1
  }

  override forward(output: Tensor, target: Tensor): Tensor {
    return smoothL1Loss(output, target, { reduction: this.reduction, beta: this.beta })
  }
}

/** Square near zero, straight beyond. See {@link huberLoss}. */
export class HuberLoss extends Loss {
  readonly delta: number

  constructor(options: HuberLossOptions = {}) {
    super(options, ['delta'])
    this.delta = options.delta ?? 1
  }

  override forward(output: Tensor, target: Tensor): Tensor {
    return huberLoss(output, target, { reduction: this.reduction, delta: this.delta })
  }
}
