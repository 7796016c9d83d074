import { binaryCrossEntropy, ones, type Tensor, zeros } from '../../engine/index.ts'
import { computeLoss, type LossFunction, type LossModule } from '../../learner/lossFunction.ts'
import * as nn from '../../nn/index.ts'

/** The mean of the scores, whatever the target: fastai's NoopLoss. A Wasserstein generator minimises it. */
export class NoopLoss extends nn.Module<[output: Tensor, ...rest: unknown[]]> {
  override forward(output: Tensor, ..._rest: unknown[]): Tensor {
    return output.mean()
  }
}

/**
 * mean(real) - mean(fake) of a critic's scores, which the critic minimises (Arjovsky et al. 2017, with fastai's sign: a low
 * score means real). `WassersteinLoss` of [1, 2] and [4, 6] is -3.5.
 */
export class WassersteinLoss extends nn.Module<[real: Tensor, fake: Tensor]> {
  override forward(real: Tensor, fake: Tensor): Tensor {
    return real.mean().sub(fake.mean())
  }
}

/** A loss of scores of any shape and of targets `[N]`, which are expanded to it: fastai's AdaptiveLoss. */
export class AdaptiveLoss extends nn.Module<[output: Tensor, target: Tensor]> implements LossModule {
  readonly inner: LossFunction

  constructor(inner: LossFunction) {
    super()
    this.inner = inner
  }

  override forward(output: Tensor, target: Tensor): Tensor {
    return computeLoss(this.inner, output, expandTarget(target, output))
  }
}

function expandTarget(target: Tensor, output: Tensor): Tensor {
  const column = target.reshape([-1, ...output.shape.slice(1).map(() => 1)])
  return column.to(output.dtype).expand(output.shape)
}

/** The share of scores `[N, …]` that a threshold sorts as the targets `[N]` say: fastai's accuracy_thresh_expand. */
export function accuracyThreshExpand(
  output: Tensor,
  target: Tensor,
  { threshold = 0.5, sigmoid = true }: { threshold?: number; sigmoid?: boolean } = {},
): Tensor {
  const scores = sigmoid ? output.sigmoid() : output
  return scores.gt(threshold).eq(expandTarget(target, output).gt(0.5)).to('float32').mean()
}

/**
 * Binary cross-entropy of probabilities (of whatever shape) that should all say real, or fake: torch's BCELoss against ones or
 * zeros.
 */
export function realOrFake(probabilities: Tensor, isReal: boolean): Tensor {
  const flat = probabilities.reshape([-1])
  const { dtype, device } = flat
  return binaryCrossEntropy(flat, (isReal ? ones : zeros)(flat.shape, { dtype, device }))
}
