import { describe, it } from 'vitest'
import { channelsLast, dropout, manualSeed, rand, type Tensor } from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'
import { type EncodedTensor, expectTensor, loadFixture, tensorOf } from './fixtures.ts'

interface Case {
  name: string
  op: 'dropout' | 'dropout2d'
  seed: number
  p: number
  input: EncodedTensor
  output: EncodedTensor
  next: EncodedTensor
}

const { cases } = loadFixture<{ cases: Case[] }>('dropout')

const calls: Record<Case['op'], (x: Tensor, p: number) => Tensor> = {
  dropout: (x, p) => dropout(x, p, true),
  dropout2d: (x, p) => new nn.Dropout2d(p).forward(x),
}

describe('dropout keeps what PyTorch keeps', () => {
  for (const { name, op, seed, p, input, output, next } of cases) {
    const x = tensorOf(input)
    const layouts: [string, Tensor][] = [['row-major', x]]
    // Pictures lie channels-last here and row-major there: the mask must not depend on it.
    if (x.ndim === 4) layouts.push(['channels-last', channelsLast(x)])
    for (const [layout, arranged] of layouts) {
      it(`${name}, ${layout}`, () => {
        manualSeed(seed)
        expectTensor(calls[op](arranged, p), output, 1e-6, 'output')
        expectTensor(rand([2]), next, 0, 'the stream after it')
      })
    }
  }
})
