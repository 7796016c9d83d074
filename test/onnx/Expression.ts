import type { Tensor } from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'

/** A model that is one function of its input. */
export class Expression extends nn.Module {
  readonly of: (x: Tensor) => Tensor | Tensor[]
  constructor(of: (x: Tensor) => Tensor | Tensor[]) {
    super()
    this.of = of
  }
  override forward(x: Tensor): Tensor {
    return this.of(x) as Tensor
  }
}
