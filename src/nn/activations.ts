import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'
import {
  gelu,
  leakyRelu,
  logSoftmax,
  relu,
  sigmoid,
  silu,
  softmax,
  type Tensor,
  tanh,
} from '../engine/index.ts'
import { cap } from '../engine/ops/activation.ts'
import { Module } from './Module.ts'
import { reprFields } from './repr.ts'

/** max(x, 0). */
export class ReLU extends Module {
  override forward(x: Tensor): Tensor {
    return relu(x)
  }
}

/** max(x, 0), but never more than 6 (Howard et al. 2017): an activation that low precision bears well. Flat at 0 and at 6. */
export class ReLU6 extends Module {
  override forward(x: Tensor): Tensor {
    return cap(relu(x), 6)
  }
}

/** x where positive, negativeSlope · x elsewhere. */
export class LeakyReLU extends Module {
  readonly negativeSlope: number

  constructor(negativeSlope = 0.01) {
    super()
    if (!Number.isFinite(negativeSlope)) {
      throw new ConfigError(`LeakyReLU: negativeSlope must be a number, got ${show(negativeSlope)}`)
    }
    this.negativeSlope = negativeSlope
  }

  override forward(x: Tensor): Tensor {
    return leakyRelu(x, this.negativeSlope)
  }

  override extraRepr(): string {
    return reprFields({ negative_slope: this.negativeSlope })
  }
}

/** x · Φ(x), with the exact cumulative normal distribution (Hendrycks and Gimpel 2016). */
export class GELU extends Module {
  override forward(x: Tensor): Tensor {
    return gelu(x)
  }

  override extraRepr(): string {
    return "approximate='none'"
  }
}

/** x · sigmoid(x), also called swish. */
export class SiLU extends Module {
  override forward(x: Tensor): Tensor {
    return silu(x)
  }
}

/** 1 / (1 + e⁻ˣ). */
export class Sigmoid extends Module {
  override forward(x: Tensor): Tensor {
    return sigmoid(x)
  }
}

/** Hyperbolic tangent. */
export class Tanh extends Module {
  override forward(x: Tensor): Tensor {
    return tanh(x)
  }
}

/** Exponentials that sum to one along `dim`. */
export class Softmax extends Module {
  readonly dim: number

  constructor(dim = -1) {
    super()
    this.dim = dim
  }

  override forward(x: Tensor): Tensor {
    return softmax(x, this.dim)
  }

  override extraRepr(): string {
    return reprFields({ dim: this.dim })
  }
}

/** Logarithm of {@link Softmax}, computed without overflow. */
export class LogSoftmax extends Module {
  readonly dim: number

  constructor(dim = -1) {
    super()
    this.dim = dim
  }

  override forward(x: Tensor): Tensor {
    return logSoftmax(x, this.dim)
  }

  override extraRepr(): string {
    return reprFields({ dim: this.dim })
  }
}
