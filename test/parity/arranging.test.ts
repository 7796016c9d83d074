import { pad } from '../../src/engine/index.ts'
import { describeOps, one, type Table } from './opCases.ts'

const table: Table = {
  flip: one((x, { dims }) => x.flip(dims!)),
  roll: one((x, { shifts, dim }) => x.roll(shifts!, dim)),
  tril: one((x, { diagonal }) => x.tril(diagonal)),
  triu: one((x, { diagonal }) => x.triu(diagonal)),
  diagonal: one((x, { diagonal, dims }) => x.diagonal(diagonal, dims![0], dims![1])),
  diag: one((x, { diagonal }) => x.diag(diagonal)),
  unique: one((x, { dim }) => {
    const { values, inverseIndices, counts } = x.unique({
      dim: dim as number,
      returnInverse: true,
      returnCounts: true,
    })
    return [values, inverseIndices, counts]
  }),
  bincount: ([x, weights], { minlength }) => x!.bincount({ weights, minlength }),
  pad: one((x, { padding, value, padMode }) => pad(x, padding as number[], { mode: padMode, value })),
  repeat: one((x, { repeats }) => x.repeat(repeats!)),
  repeatInterleave: ([x, repeats], { count, dim }) => x!.repeatInterleave(repeats ?? count!, dim as number),
  movedim: one((x, { dims, shape }) => x.movedim(dims!, shape!)),
  swapaxes: one((x, { dims }) => x.swapaxes(dims![0]!, dims![1]!)),
  unflatten: one((x, { dim, shape }) => x.unflatten(dim as number, shape!)),
  unbind: one((x, { dim }) => x.unbind(dim as number)),
  split: one((x, { size, sizes, dim }) => x.split(sizes ?? (size as number), dim as number)),
  chunk: one((x, { chunks, dim }) => x.chunk(chunks!, dim as number)),
  narrow: one((x, { dim, start, length }) => x.narrow(dim as number, start!, length!)),
}

describeOps('opsArranging', table)
