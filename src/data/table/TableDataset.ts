import { type Tensor, tensor } from '../../engine/index.ts'
import type { Dataset, GatherableDataset } from '../Dataset.ts'
import { columnIndex, describeRow, type Table } from './readCsv.ts'
import type { EncodedRows } from './TableEncoder.ts'

/** `x` is category numbers `[N, K]` int64 and normalised numbers `[N, M]` float32; `y` `[N]` int64 classes or `[N, 1]` float32. */
export interface TableBatch {
  x: [categories: Tensor, numbers: Tensor]
  y: Tensor
}

export interface TableDatasetParts {
  table: Table
  /** Rows of the table that are items. */
  rows: readonly number[]
  encoded: EncodedRows
  categoricalColumns: number
  continuousColumns: number
  /** Class indices, or measured values. */
  targets: { kind: 'classes'; values: Int32Array } | { kind: 'values'; values: Float32Array }
  classes?: readonly string[] | undefined
}

/** Rows of a table, encoded. Batches are gathered by the engine. */
export class TableDataset implements Dataset<TableBatch>, GatherableDataset<TableBatch> {
  readonly table: Table
  /** Rows of the table that are items, in order. */
  readonly rows: readonly number[]
  readonly classes: readonly string[] | undefined
  /** One for each item: the index of its class. Undefined for measured values. */
  readonly labels: Int32Array | undefined
  readonly #categories: Tensor
  readonly #numbers: Tensor
  readonly #y: Tensor

  constructor({ table, rows, encoded, targets, classes, ...columns }: TableDatasetParts) {
    this.table = table
    this.rows = rows
    this.classes = classes
    this.labels = targets.kind === 'classes' ? targets.values : undefined
    this.#categories = tensor(encoded.categories, { shape: [rows.length, columns.categoricalColumns] }).keep()
    this.#numbers = tensor(encoded.numbers, { shape: [rows.length, columns.continuousColumns] }).keep()
    this.#y = (
      targets.kind === 'classes'
        ? tensor(BigInt64Array.from(targets.values, BigInt), { shape: [rows.length] })
        : tensor(targets.values, { shape: [rows.length, 1] })
    ).keep()
  }

  get length(): number {
    return this.rows.length
  }

  /** One row, `x` `[K]` and `[M]`. */
  get(index: number): TableBatch {
    return {
      x: [this.#categories.index(index), this.#numbers.index(index)],
      y: this.#y.index(index),
    }
  }

  gather(indices: readonly number[], device?: string): TableBatch {
    const at = tensor(BigInt64Array.from(indices, BigInt), {
      shape: [indices.length],
      device: this.#y.device,
    })
    const pick = (all: Tensor) => {
      const rows = all.indexSelect(0, at)
      return device === undefined ? rows : rows.to(device)
    }
    return { x: [pick(this.#categories), pick(this.#numbers)], y: pick(this.#y) }
  }

  /** @internal The values of `y`. */
  targetBytes(): Promise<Uint8Array> {
    return this.#y.bytes()
  }

  describe(index: number): string {
    return describeRow(this.table, this.rows[index]!)
  }

  /** The texts of a column, one for each item: ids for a submission, for example. @throws DataError if there is none. */
  column(name: string): string[] {
    const at = columnIndex(this.table, name)
    return this.rows.map((row) => this.table.rows[row]![at]!)
  }
}
