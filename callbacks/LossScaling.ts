import { ConfigError } from '../src/engine/errors.ts'
import { full, noGrad, stack, type Tensor } from '../src/engine/index.ts'
import { Callback } from '../src/learner/Callback.ts'
import type { CallbackState } from '../src/learner/callbackState.ts'
import type { BackwardBeginContext, BackwardEndContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { between, count } from '../src/learner/stateChecks.ts'

export interface LossScalingOptions {
  /** The first factor. Default 65536. */
  initialScale?: number
  /** What the factor is multiplied by after `growthInterval` good steps in a row. Default 2. */
  growthFactor?: number
  /** What it is multiplied by after a step whose gradients are not finite. Default 0.5. */
  backoffFactor?: number
  /** Default 2000 steps. */
  growthInterval?: number
}

/** Beyond float32's range every loss would overflow. */
const MAX_SCALE = 2 ** 120

/**
 * Multiplies the loss before the backward pass, so that small gradients do not vanish in float16, and divides the gradients
 * before the step (Micikevicius et al. 2018). Steps whose gradients overflowed are left out, and the factor falls; after many
 * good ones it rises: PyTorch's GradScaler, with its numbers. Reported losses are not scaled.
 */
export class LossScaling extends Callback {
  /** After those who decide whether to step, before those who look at gradients. */
  override order = -1
  readonly growthFactor: number
  readonly backoffFactor: number
  readonly growthInterval: number
  #scale: number
  /** The same beside the loss: a recorded step (`learner.compile()`) reads it anew each time. */
  #factor: Tensor | null = null
  #goodSteps = 0

  constructor(options: LossScalingOptions = {}) {
    super()
    rejectUnknownOptions('LossScaling', options, [
      'initialScale',
      'growthFactor',
      'backoffFactor',
      'growthInterval',
    ])
    const { initialScale = 65536, growthFactor = 2, backoffFactor = 0.5, growthInterval = 2000 } = options
    const check = (name: string, value: number, valid: boolean, range: string) => {
      if (typeof value !== 'number' || !valid)
        throw new ConfigError(`LossScaling: ${name} must be ${range}, got ${String(value)}`)
    }
    check('initialScale', initialScale, initialScale > 0 && Number.isFinite(initialScale), 'above 0')
    check('growthFactor', growthFactor, growthFactor > 1 && Number.isFinite(growthFactor), 'above 1')
    check('backoffFactor', backoffFactor, backoffFactor > 0 && backoffFactor < 1, 'between 0 and 1')
    check(
      'growthInterval',
      growthInterval,
      Number.isInteger(growthInterval) && growthInterval > 0,
      'a positive integer',
    )
    this.#scale = initialScale
    this.growthFactor = growthFactor
    this.backoffFactor = backoffFactor
    this.growthInterval = growthInterval
  }

  /** The factor now. */
  get scale(): number {
    return this.#scale
  }

  set scale(scale: number) {
    this.#scale = scale
    const factor = this.#factor
    if (factor) noGrad(() => factor.fill_(scale))
  }

  override onBackwardBegin({ lastLoss }: BackwardBeginContext) {
    const { dtype, device } = lastLoss
    if (this.#factor?.dtype !== dtype || this.#factor.device !== device) {
      this.#factor?.dispose()
      this.#factor = full([], this.scale, { dtype, device }).keep()
    }
    return { lastLoss: lastLoss.mul(this.#factor) }
  }

  override async onBackwardEnd({ learner, skipStep }: BackwardEndContext) {
    if (skipStep) return undefined // Gradients are still being added up, all of one scale.
    const gradients = learner.optimizer
      .parameters()
      .flatMap(({ accumulated }): Tensor[] => (accumulated ? [accumulated] : []))
    if (gradients.length === 0) return undefined
    const finite = noGrad(() => {
      for (const gradient of gradients) gradient.mul_(1 / this.scale)
      // Zero times anything finite is zero.
      return stack(gradients.map((gradient) => gradient.mul(0).sum())).sum()
    })
    if (Number((await finite.data())[0]) === 0) {
      if (++this.#goodSteps === this.growthInterval) {
        this.#goodSteps = 0
        this.scale = Math.min(this.scale * this.growthFactor, MAX_SCALE)
      }
      return undefined
    }
    this.#goodSteps = 0
    this.scale *= this.backoffFactor
    return { skipStep: true }
  }

  /** Without the first factor: the checkpoint has the latest. */
  override steering(): CallbackState {
    const { growthFactor, backoffFactor, growthInterval } = this
    return { growthFactor, backoffFactor, growthInterval }
  }

  override stateDict() {
    return { scale: this.scale, goodSteps: this.#goodSteps }
  }

  override loadStateDict({ scale, goodSteps }: ReturnType<LossScaling['stateDict']>): void {
    between(0, Number.MAX_VALUE)(scale, 'LossScaling.scale')
    count(this.growthInterval - 1)(goodSteps, 'LossScaling.goodSteps')
    this.scale = scale
    this.#goodSteps = goodSteps
  }
}
