import { show } from '../../engine/check.ts'
import type { DType } from '../../engine/dtype.ts'
import { ConfigError } from '../../engine/errors.ts'
import { type AutocastDType, autocast, noGrad, type Tensor } from '../../engine/index.ts'
import { engineState } from '../../engine/state.ts'
import * as nn from '../../nn/index.ts'

/** Runs `body` while the parameters of `network` take no gradients: they flow through it, not into it. */
export function withoutGradients<Result>(network: nn.Module, body: () => Result): Result {
  const trained = network.parameters().filter(({ requiresGrad }) => requiresGrad)
  for (const parameter of trained) parameter.requiresGrad = false
  try {
    return body()
  } finally {
    for (const parameter of trained) parameter.requiresGrad = true
  }
}

/**
 * A generator and a critic (or discriminator) as one model: `forward` is that of the one whose turn it is. What a loss asks of the
 * other is computed in the precision of the latest `forward`, so that mixed precision reaches both.
 *
 * Source: fastai's GANModule.
 */
export class GANModule extends nn.Module {
  readonly generator: nn.Module
  readonly critic: nn.Module
  /** Whether it is the generator's turn. */
  genMode: boolean
  #precision: DType | null = null
  #input: readonly Tensor[] = []

  constructor(generator: nn.Module, critic: nn.Module, { genMode = false }: { genMode?: boolean } = {}) {
    super()
    for (const [name, network] of Object.entries({ generator, critic })) {
      if (!(network instanceof nn.Module)) {
        throw new ConfigError(`GANModule: the ${name} must be a module, got ${show(network)}`)
      }
    }
    this.generator = generator
    this.critic = critic
    this.genMode = genMode
  }

  override forward(x: Tensor, ...more: Tensor[]): Tensor {
    const inputs = [x, ...more]
    this.#precision = engineState().autocast
    this.#input = inputs
    return this.genMode ? this.#generate(inputs) : this.critic.forward(x)
  }

  /** Makes it the generator's turn (true) or the critic's (false); without an argument, the other's. */
  switch(genMode: boolean = !this.genMode): void {
    this.genMode = genMode
  }

  /** What the latest `forward` was given. */
  get latestInput(): readonly Tensor[] {
    return this.#input
  }

  /** The critic's scores of pictures, in float32, with gradients into the critic; `frozen`, only through it. */
  criticise(pictures: Tensor, { frozen = false }: { frozen?: boolean } = {}): Tensor {
    const run = () => this.#inPrecision(() => this.critic.forward(pictures))
    return asFloat(frozen ? withoutGradients(this.critic, run) : run())
  }

  /** The generator's pictures, without a history. */
  generate(...noise: Tensor[]): Tensor {
    return noGrad(() => this.#inPrecision(() => this.#generate(noise)))
  }

  // A generator may take several inputs.
  #generate(inputs: readonly Tensor[]): Tensor {
    return this.generator.forward(...(inputs as [Tensor]))
  }

  #inPrecision<Result>(body: () => Result): Result {
    const precision = this.#precision
    return precision === null ? body() : autocast(precision as AutocastDType, body)
  }
}

/** Half precision as float32; others as they are. */
export function asFloat(x: Tensor): Tensor {
  return x.dtype === 'bfloat16' || x.dtype === 'float16' ? x.to('float32') : x
}
