import { ShapeError } from '../engine/errors.ts'
import { type Tensor, tensor } from '../engine/index.ts'
import type { Dataset, GatherableDataset, Sample, TensorBatch } from './Dataset.ts'

/** Inputs and targets that are tensors already: the first dimension of each counts the items. Batches are gathered by the engine. */
export class TensorDataset implements Dataset<Sample<Tensor, Tensor>>, GatherableDataset<TensorBatch> {
  readonly x: Tensor
  readonly y: Tensor

  /** @throws ShapeError unless both have a first dimension, and of the same length. */
  constructor(x: Tensor, y: Tensor) {
    if (x.shape.length === 0 || y.shape.length === 0 || x.shape[0] !== y.shape[0]) {
      throw new ShapeError(
        `TensorDataset: the first dimension of both tensors counts the items, so it must be the same; got [${x.shape.join(', ')}] and [${y.shape.join(', ')}]`,
      )
    }
    this.x = x
    this.y = y
  }

  get length(): number {
    return this.x.shape[0]!
  }

  get(index: number): Sample<Tensor, Tensor> {
    return { x: this.x.index(index), y: this.y.index(index) }
  }

  gather(indices: readonly number[], device?: string): TensorBatch {
    const at = tensor(BigInt64Array.from(indices, BigInt), { shape: [indices.length], device: this.x.device })
    const x = this.x.indexSelect(0, at)
    const y = this.y.indexSelect(0, this.y.device === this.x.device ? at : at.to(this.y.device))
    return device === undefined ? { x, y } : { x: x.to(device), y: y.to(device) }
  }
}
