import { cat, embedding, oneHot, stack } from '../../src/engine/index.ts'
import { describeOps, one, type Table, three, two } from './opCases.ts'

const table: Table = {
  cat: (inputs, { dim }) => cat(inputs, dim as number),
  stack: (inputs, { dim }) => stack(inputs, dim as number),
  reshape: one((x, { shape }) => x.reshape(shape!)),
  permute: one((x, { dims }) => x.permute(dims!)),
  transpose: one((x, { dims }) => x.transpose(dims![0]!, dims![1]!)),
  permuteReshape: one((x, { dims, shape }) => x.permute(dims!).reshape(shape!)),
  flatten: one((x, { startDim }) => x.flatten(startDim)),
  squeeze: one((x, { dim }) => x.squeeze(dim as number | undefined)),
  unsqueeze: one((x, { dim }) => x.unsqueeze(dim as number)),
  expand: one((x, { shape }) => x.expand(shape!)),
  index: one((x, { index }) => x.index(...(index as (number | string | null)[]))),
  indexTensor: two((x, index) => x.index(index)),
  narrow: one((x, { dim, start, length }) => x.narrow(dim as number, start!, length!)),
  select: one((x, { dim, index }) => x.select(dim as number, index as number)),
  indexSelect: two((x, indices, { dim }) => x.indexSelect(dim as number, indices)),
  gather: two((x, indices, { dim }) => x.gather(dim as number, indices)),
  oneHot: one((x, { numClasses }) => oneHot(x, numClasses)),
  chunk: one((x, { chunks, dim }) => x.chunk(chunks!, dim as number)),
  split: one((x, { size, dim }) => x.split(size as number, dim as number)),
  embedding: two((weight, indices, { paddingIndex }) =>
    embedding(indices, weight, { paddingIdx: paddingIndex }),
  ),
  maskedFill: two((x, mask, { value }) => x.maskedFill(mask, value!)),
  scatterAdd: three((x, indices, source, { dim }) => x.scatterAdd(dim as number, indices, source!)),
}

describeOps('opsShape', table)
