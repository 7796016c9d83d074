import { embedding, noGrad, type Tensor, zeros } from '../engine/index.ts'
import { paddingRow } from '../engine/ops/embedding.ts'
import { normal_ } from './init.ts'
import { Module } from './Module.ts'
import { positiveInteger, rejectUnknownOptions } from './options.ts'
import { Parameter } from './Parameter.ts'

export interface EmbeddingLayerOptions {
  /** The row that starts at zero and gets no gradient; negative numbers count from the end. Default none. */
  paddingIdx?: number | null
}

/**
 * A table of vectors looked up by number: integers of any shape to `[…, embeddingDim]`. `weight` is
 * `[numEmbeddings, embeddingDim]`, drawn from N(0, 1) in PyTorch's order. Indices outside the table are a ShapeError at the
 * next read of a value.
 */
export class Embedding extends Module {
  readonly numEmbeddings: number
  readonly embeddingDim: number
  readonly paddingIdx: number | null
  weight: Parameter

  constructor(numEmbeddings: number, embeddingDim: number, options: EmbeddingLayerOptions = {}) {
    super()
    rejectUnknownOptions('Embedding', options, ['paddingIdx'])
    this.numEmbeddings = positiveInteger(numEmbeddings, 'Embedding', 'numEmbeddings')
    this.embeddingDim = positiveInteger(embeddingDim, 'Embedding', 'embeddingDim')
    this.paddingIdx = paddingRow(options.paddingIdx, this.numEmbeddings)
    this.weight = new Parameter(zeros([numEmbeddings, embeddingDim]))
    this.resetParameters()
  }

  /** Draws new starting values. */
  resetParameters(): void {
    normal_(this.weight)
    const { paddingIdx } = this
    if (paddingIdx !== null) noGrad(() => this.weight.indexPut_([paddingIdx], 0))
  }

  override forward(indices: Tensor): Tensor {
    return embedding(indices, this.weight, { paddingIdx: this.paddingIdx })
  }

  override extraRepr(): string {
    const padding = this.paddingIdx === null ? '' : `, padding_idx=${this.paddingIdx}`
    return `${this.numEmbeddings}, ${this.embeddingDim}${padding}`
  }
}
