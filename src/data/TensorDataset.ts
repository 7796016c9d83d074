import { show } from '../engine/check.ts'
import { ConfigError, ShapeError } from '../engine/errors.ts'
import { Tensor, tensor } from '../engine/index.ts'
import type { Dataset, GatherableDataset, Sample, TensorBatch } from './Dataset.ts'

/**
 * Inputs and targets that are tensors already: the first dimension of each counts the items. Batches are gathered by the engine.
 * A list of tensors, for models with several inputs or losses of several targets, gives batches with a list in its place.
 *
 * @example new TensorDataset([pictures, ages], [classes, prices]) // batches { x: [Tensor, Tensor], y: [Tensor, Tensor] }
 */
export class TensorDataset<
  X extends Tensor | readonly Tensor[] = Tensor,
  Y extends Tensor | readonly Tensor[] = Tensor,
> implements Dataset<Sample<X, Y>>, GatherableDataset<TensorBatch<X, Y>>
{
  readonly x: X
  readonly y: Y
  readonly length: number

  /**
   * @throws ShapeError unless all tensors have a first dimension, and of the same length; ConfigError for what is neither a tensor nor a
   * list of tensors, and for more than two arguments
   */
  constructor(x: X, y: Y, ...others: never[]) {
    if (others.length > 0) {
      throw new ConfigError(
        `TensorDataset takes inputs and targets, got ${2 + others.length} arguments: pass several inputs or several targets as a ` +
          'list, new TensorDataset(x, [y1, y2])',
      )
    }
    const tensors = [...tensorsOf('inputs', x), ...tensorsOf('targets', y)]
    const [first] = tensors as [Tensor]
    if (tensors.some(({ shape }) => shape.length === 0 || shape[0] !== first.shape[0])) {
      const shapes = tensors.map(({ shape }) => `[${shape.join(', ')}]`)
      throw new ShapeError(
        `TensorDataset: the first dimension of ${tensors.length === 2 ? 'both' : 'all'} tensors counts the items, so it must be the same; got ${shapes.join(' and ')}`,
      )
    }
    this.x = x
    this.y = y
    this.length = first.shape[0]!
  }

  get(index: number): Sample<X, Y> {
    const item = (one: Tensor) => one.index(index)
    return { x: each(this.x, item), y: each(this.y, item) }
  }

  gather(indices: readonly number[], device?: string): TensorBatch<X, Y> {
    const values = BigInt64Array.from(indices, BigInt)
    const places = new Map<string, Tensor>()
    const rows = (one: Tensor) => {
      const at = places.get(one.device) ?? tensor(values, { shape: [indices.length], device: one.device })
      places.set(one.device, at)
      const batch = one.indexSelect(0, at)
      return device === undefined ? batch : batch.to(device)
    }
    return { x: each(this.x, rows), y: each(this.y, rows) }
  }
}

function each<Value extends Tensor | readonly Tensor[]>(
  value: Value,
  change: (one: Tensor) => Tensor,
): Value {
  return (value instanceof Tensor ? change(value) : value.map(change)) as Value
}

function tensorsOf(what: string, value: unknown): readonly Tensor[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (list.length > 0 && list.every((one) => one instanceof Tensor)) return list
  throw new ConfigError(
    `TensorDataset: the ${what} must be a tensor or a list of tensors, got ${show(value)}; tensor(…) makes one of numbers`,
  )
}
