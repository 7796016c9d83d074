import { dropout, noGrad, ones, type Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'

/**
 * In training, sets all of a sample's values to zero with probability `p` and scales the other samples' by 1 / (1 - p), so that
 * a residual block is skipped for some samples (Huang et al. 2016, https://arxiv.org/abs/1603.09382); in evaluation returns
 * its input. Any shape `[N, …]`.
 */
export class StochasticDepth extends nn.Module {
  /** Probability of a sample's being dropped. */
  p: number

  constructor(p: number) {
    super()
    this.p = new nn.Dropout(p).p // which refuses what is no probability
  }

  override forward(x: Tensor): Tensor {
    if (!this.training || this.p === 0) return x
    const { shape, dtype, device } = x
    const factors = noGrad(() =>
      dropout(ones([shape[0] ?? 1, ...shape.slice(1).map(() => 1)], { dtype, device }), this.p, true),
    )
    return x.mul(factors)
  }

  override extraRepr(): string {
    return `p=${this.p}, mode=row`
  }
}
