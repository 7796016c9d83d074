import { dropout, dropout2d, type Tensor } from '../engine/index.ts'
import { Module } from './Module.ts'
import { probability } from './options.ts'
import { reprFields } from './repr.ts'

/**
 * In training, sets each element to zero with probability `p` and scales the rest by 1 / (1 - p) (Srivastava et al. 2014); in
 * evaluation returns its input.
 */
export class Dropout extends Module {
  /** Probability of being dropped. */
  p: number

  constructor(p = 0.5) {
    super()
    this.p = probability(p, this.constructor.name, 'p')
  }

  override forward(x: Tensor): Tensor {
    return dropout(x, this.p, this.training)
  }

  override extraRepr(): string {
    return reprFields({ p: this.p, inplace: false })
  }
}

/** {@link Dropout} of whole channels of `[N, C, …]`: neighbouring pixels say much the same. */
export class Dropout2d extends Dropout {
  override forward(x: Tensor): Tensor {
    return dropout2d(x, this.p, this.training)
  }
}
