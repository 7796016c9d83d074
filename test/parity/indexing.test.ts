import { embedding, type Index, oneHot, type Tensor } from '../../src/engine/index.ts'
import { type Arguments, describeOps, one, type Table, three, two } from './opCases.ts'

/** '$1' stands for the second input, and so on. */
function itemsOf(inputs: Tensor[], { index }: Arguments): Index[] {
  return (index as (number | string | null)[]).map((item) =>
    typeof item === 'string' && item.startsWith('$') ? inputs[Number(item.slice(1))]! : item,
  )
}

const table: Table = {
  index: (inputs, given) => inputs[0]!.index(...itemsOf(inputs, given)),
  indexPut: (inputs, given) => {
    const [x, value] = inputs as [Tensor, Tensor]
    return x.clone().indexPut_(itemsOf(inputs, given), value, { accumulate: given.accumulate })
  },
  indexSelect: two((x, indices, { dim }) => x.indexSelect(dim as number, indices)),
  indexAdd: three((x, indices, source, { dim, scalar }) =>
    x.indexAdd(dim as number, indices, source!, { alpha: scalar }),
  ),
  gather: two((x, indices, { dim }) => x.gather(dim as number, indices)),
  scatter: three((x, indices, source, { dim, value }) => x.scatter(dim as number, indices, source ?? value!)),
  scatterAdd: three((x, indices, source, { dim }) => x.scatterAdd(dim as number, indices, source!)),
  maskedFill: three((x, mask, value, given) => x.maskedFill(mask, value ?? given.value!)),
  maskedSelect: two((x, mask) => x.maskedSelect(mask)),
  nonzero: one((x) => x.nonzero()),
  oneHot: one((x, { numClasses }) => oneHot(x, numClasses)),
  embedding: two((indices, weight, { paddingIndex }) =>
    embedding(indices, weight, { paddingIdx: paddingIndex }),
  ),
}

describeOps('opsIndexing', table)
