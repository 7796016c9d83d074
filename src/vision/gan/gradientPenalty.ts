import { show } from '../../engine/check.ts'
import { ConfigError, ShapeError } from '../../engine/errors.ts'
import { grad, ones, rand, type Tensor } from '../../engine/index.ts'
import { rejectUnknownOptions } from '../../nn/options.ts'

export interface GradientPenaltyOptions {
  /** Factor on the penalty. Default 10. */
  weight?: number
  /** Norm that the gradient is drawn to. Default 1; 0 for a zero-centred penalty. */
  center?: number
}

/**
 * The gradient penalty of Gulrajani et al. (2017), "Improved training of Wasserstein GANs": at points drawn uniformly between real and
 * made pictures, weight · mean((‖∇critic‖ - center)²). It can be differentiated with respect to the critic's parameters. Draws
 * one `rand([N, 1, 1, 1])`, the share of the real picture.
 *
 * @param critic gives a score for each picture, or (as fastai's basicCritic) the mean of the batch
 * @param real pictures [N, …]
 * @param fake pictures of the same shape
 * @throws ShapeError, ConfigError; AutogradError for a critic with an operation that has no second gradient
 */
export function gradientPenalty(
  critic: (pictures: Tensor) => Tensor,
  real: Tensor,
  fake: Tensor,
  options: GradientPenaltyOptions = {},
): Tensor {
  rejectUnknownOptions('gradientPenalty', options, ['weight', 'center'])
  const { weight = 10, center = 1 } = options
  for (const [name, value] of Object.entries({ weight, center })) {
    if (!(typeof value === 'number' && value >= 0 && Number.isFinite(value))) {
      throw new ConfigError(`gradientPenalty: ${name} must be a number of at least 0, got ${show(value)}`)
    }
  }
  if (real.shape.join() !== fake.shape.join()) {
    throw new ShapeError(
      `gradientPenalty: real pictures of [${real.shape.join(', ')}] and made ones of [${fake.shape.join(', ')}] must have one shape`,
    )
  }
  const count = real.shape[0] as number
  const share = rand([count, ...real.shape.slice(1).map(() => 1)], {
    dtype: 'float32',
    device: real.device,
  }).to(real.dtype)
  const between = real
    .detach()
    .mul(share)
    .add(fake.detach().mul(share.mul(-1).add(1)))
  between.requiresGrad = true
  const scores = critic(between)
  // Of a batch's mean each picture has its share of the slope.
  const total = scores.numel === 1 ? scores.mul(count) : scores
  const [slopes] = grad(total, between, {
    gradOutputs: [ones(total.shape, { dtype: total.dtype, device: total.device })],
    createGraph: true,
  }) as [Tensor]
  return slopes.flatten(1).norm(2, 1).sub(center).square().mean().mul(weight)
}
