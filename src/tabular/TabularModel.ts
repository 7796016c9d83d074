import { ConfigError } from '../engine/errors.ts'
import { cat, type Tensor } from '../engine/index.ts'
import { describeAs, type ModelDescription, registerModelKind } from '../learner/modelDescription.ts'
import * as nn from '../nn/index.ts'

export interface TabularModelOptions {
  /** Rows and width of each column's embedding. */
  embeddings: readonly (readonly [rows: number, width: number])[]
  /** Number of columns of numbers. */
  numbers: number
  /** Number of outputs. */
  outputs: number
  /** Widths of the hidden layers. */
  layers: readonly number[]
  /** Dropout after each hidden layer, or one for all. Default 0. */
  dropout?: number | readonly number[]
  /** Dropout of the embeddings. Default 0. */
  embeddingDropout?: number
  /** Keeps the output between these two, by a sigmoid. Default none. */
  yRange?: readonly [low: number, high: number]
  /** Batch norm before each hidden layer but the first, and of the numbers. Default true. */
  batchNorm?: boolean
}

/**
 * Embeddings of the categories and batch-normed numbers together through linear layers with ReLU; fastai's `TabularModel`.
 * `forward(categories [N, K] int64, numbers [N, M])` gives `[N, outputs]`.
 */
export class TabularModel extends nn.Module<[Tensor, Tensor]> {
  embeddings: nn.ModuleList<nn.Embedding>
  embeddingDropout: nn.Dropout
  /** Null without numbers, or without batch norm. */
  numberNorm: nn.BatchNorm1d | null
  layers: nn.Sequential
  readonly yRange: readonly [low: number, high: number] | undefined

  constructor(options: TabularModelOptions) {
    super()
    const { embeddings, numbers, outputs, layers, dropout = 0, embeddingDropout = 0, yRange } = options
    const { batchNorm = true } = options
    const drops = typeof dropout === 'number' ? layers.map(() => dropout) : dropout
    if (drops.length !== layers.length) {
      throw new ConfigError(
        `TabularModel: ${layers.length} hidden layers need as many dropouts, got ${drops.length}`,
      )
    }
    if (yRange && !(yRange[0] < yRange[1])) {
      throw new ConfigError(`TabularModel: yRange is [low, high], got [${yRange[0]}, ${yRange[1]}]`)
    }
    this.embeddings = new nn.ModuleList(embeddings.map(([rows, width]) => smallEmbedding(rows, width)))
    this.embeddingDropout = new nn.Dropout(embeddingDropout)
    this.numberNorm = batchNorm && numbers > 0 ? new nn.BatchNorm1d(numbers) : null
    this.yRange = yRange
    const inputs = embeddings.reduce((sum, [, width]) => sum + width, numbers)
    const widths = [inputs, ...layers, outputs]
    const all: nn.Module[] = []
    for (let at = 0; at + 1 < widths.length; at++) {
      const before = at === 0 ? 0 : drops[at - 1]!
      if (at > 0 && batchNorm) all.push(new nn.BatchNorm1d(widths[at]!))
      if (before > 0) all.push(new nn.Dropout(before))
      all.push(new nn.Linear(widths[at]!, widths[at + 1]!))
      if (at + 2 < widths.length) all.push(new nn.ReLU())
    }
    this.layers = new nn.Sequential(...all)
    describeAs(this, { kind: 'TabularModel', options: { ...options } })
  }

  override forward(categories: Tensor, numbers: Tensor): Tensor {
    const embedded = [...this.embeddings].map((table, column) => table.forward(categories.index(':', column)))
    const parts = embedded.length > 0 ? [this.embeddingDropout.forward(cat(embedded, 1))] : []
    if (numbers.shape[1]! > 0) parts.push(this.numberNorm ? this.numberNorm.forward(numbers) : numbers)
    const output = this.layers.forward(parts.length === 1 ? parts[0]! : cat(parts, 1))
    if (!this.yRange) return output
    const [low, high] = this.yRange
    return output
      .sigmoid()
      .mul(high - low)
      .add(low)
  }
}

registerModelKind<ModelDescription & { options: TabularModelOptions }>(
  'TabularModel',
  ({ options }) => new TabularModel(options) as unknown as nn.Module,
)

/** fastai starts embeddings from a normal of deviation 0.01, cut at two deviations. */
function smallEmbedding(rows: number, width: number): nn.Embedding {
  const table = new nn.Embedding(rows, width)
  nn.init.truncNormal_(table.weight, { std: 0.01, a: -0.02, b: 0.02 })
  return table
}

/** Width of an embedding of so many categories: fastai's rule of thumb, min(600, round(1.6 · n^0.56)). */
export function embeddingSize(categories: number): number {
  return Math.min(600, Math.round(1.6 * categories ** 0.56))
}
