import { ConfigError } from '../src/engine/errors.ts'
import { noGrad, stack, type Tensor } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { BackwardEndContext } from '../src/learner/events.ts'

export interface GradientClippingOptions {
  /** Largest L2 norm of all gradients together. */
  clip: number
}

/** Scales all gradients down together when their joint L2 norm exceeds `clip` (Pascanu et al. 2013), before the step. */
export class GradientClipping extends Callback {
  readonly clip: number

  /** `new GradientClipping(0.1)` is `new GradientClipping({ clip: 0.1 })`. */
  constructor(options: number | GradientClippingOptions) {
    super()
    this.clip = typeof options === 'number' ? options : options.clip
    if (!(this.clip > 0))
      throw new ConfigError(`GradientClipping: clip must be above 0, got ${String(this.clip)}`)
  }

  override onBackwardEnd({ learner }: BackwardEndContext): void {
    const gradients = learner.optimizer.parameters().flatMap(({ grad }): Tensor[] => (grad ? [grad] : []))
    if (gradients.length === 0) return
    noGrad(() => {
      const squares = stack(gradients.map((gradient) => gradient.square().sum()))
      // Never above 1, and no division by zero: as PyTorch's clip_grad_norm_.
      const factor = squares.sum().sqrt().add(1e-6).reciprocal().mul(this.clip).clamp(null, 1)
      for (const gradient of gradients) gradient.mul_(factor)
    })
  }
}
