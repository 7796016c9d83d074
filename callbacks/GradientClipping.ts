import { ConfigError } from '../src/engine/errors.ts'
import { noGrad, stack, type Tensor } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { BackwardEndContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'

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
    const given = typeof options === 'number' ? { clip: options } : (options ?? {})
    rejectUnknownOptions('GradientClipping', given, ['clip'])
    this.clip = (given as GradientClippingOptions).clip
    if (!(typeof this.clip === 'number' && this.clip > 0))
      throw new ConfigError(`GradientClipping: clip must be above 0, got ${String(this.clip)}`)
  }

  override steering(): CallbackState {
    return { clip: this.clip }
  }

  override onBackwardEnd({ learner, skipStep }: BackwardEndContext): void {
    if (skipStep) return // Gradients are still being added up.
    const gradients = learner.optimizer
      .parameters()
      .flatMap(({ accumulated }): Tensor[] => (accumulated ? [accumulated] : []))
    if (gradients.length === 0) return
    noGrad(() => {
      const squares = stack(gradients.map((gradient) => gradient.square().sum()))
      // Never above 1, and no division by zero: as PyTorch's clip_grad_norm_.
      const factor = squares.sum().sqrt().add(1e-6).reciprocal().mul(this.clip).clamp(null, 1)
      for (const gradient of gradients) gradient.mul_(factor)
    })
  }
}
