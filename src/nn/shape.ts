import { requireTensor } from '../engine/check.ts'
import type { Tensor } from '../engine/index.ts'
import { Module } from './Module.ts'
import { reprFields } from './repr.ts'

/** Joins the dimensions from `startDim` to `endDim` into one; by default all but the batch's. */
export class Flatten extends Module {
  readonly startDim: number
  readonly endDim: number

  constructor(startDim = 1, endDim = -1) {
    super()
    this.startDim = startDim
    this.endDim = endDim
  }

  override forward(x: Tensor): Tensor {
    requireTensor('Flatten', 'input', x)
    return x.flatten(this.startDim, this.endDim)
  }

  override extraRepr(): string {
    return reprFields({ start_dim: this.startDim, end_dim: this.endDim })
  }
}
