import { linear, logSoftmax, softmax } from '../../src/engine/index.ts'
import { describeOps, one, type Table, three, two } from './opCases.ts'

const table: Table = {
  sum: one((x, { dim, keepdim }) => x.sum(dim, { keepdim })),
  mean: one((x, { dim, keepdim }) => x.mean(dim, { keepdim })),
  var: one((x, { dim, keepdim, correction }) => x.var(dim, { keepdim, correction })),
  std: one((x, { dim, keepdim, correction }) => x.std(dim, { keepdim, correction })),
  max: one((x) => x.max()),
  min: one((x) => x.min()),
  maxDim: one((x, { dim, keepdim }) => {
    const { values, indices } = x.max(dim as number, { keepdim })
    return [values, indices]
  }),
  minDim: one((x, { dim, keepdim }) => {
    const { values, indices } = x.min(dim as number, { keepdim })
    return [values, indices]
  }),
  argmax: one((x, { dim, keepdim }) => x.argmax(dim as number | undefined, { keepdim })),
  argmin: one((x, { dim, keepdim }) => x.argmin(dim as number | undefined, { keepdim })),
  median: one((x) => x.median()),
  medianDim: one((x, { dim, keepdim }) => {
    const { values, indices } = x.median(dim as number, { keepdim })
    return [values, indices]
  }),
  quantile: one((x, { q, dim, keepdim, interpolation }) =>
    x.quantile(q!, dim as number, { keepdim, interpolation }),
  ),
  quantileTensor: two((x, q, { dim, keepdim, interpolation }) =>
    x.quantile(q, dim as number, { keepdim, interpolation }),
  ),
  prod: one((x, { dim, keepdim }) => x.prod(dim, { keepdim })),
  cumprod: one((x, { dim }) => x.cumprod(dim as number)),
  any: one((x, { dim, keepdim }) => x.any(dim, { keepdim })),
  all: one((x, { dim, keepdim }) => x.all(dim, { keepdim })),
  amax: one((x, { dim, keepdim }) => x.amax(dim, { keepdim })),
  amin: one((x, { dim, keepdim }) => x.amin(dim, { keepdim })),
  argsort: one((x, { dim }) => x.argsort(dim as number)),
  cumsum: one((x, { dim }) => x.cumsum(dim as number)),
  logsumexp: one((x, { dim, keepdim }) => x.logsumexp(dim!, { keepdim })),
  norm: one((x, { p, infiniteP, dim, keepdim }) =>
    x.norm(infiniteP ? infiniteP * Number.POSITIVE_INFINITY : p, dim, { keepdim }),
  ),
  softmax: one((x, { dim }) => softmax(x, dim as number)),
  logSoftmax: one((x, { dim }) => logSoftmax(x, dim as number)),
  topk: one((x, { k, dim, largest }) => {
    const { values, indices } = x.topk(k!, dim as number, { largest })
    return [values, indices]
  }),
  sort: one((x, { dim, descending }) => {
    const { values, indices } = x.sort(dim as number, { descending })
    return [values, indices]
  }),
  matmul: two((a, b) => a.matmul(b)),
  matmulTransposed: two((a, b) => a.t().matmul(b.t())),
  linear: three((x, weight, bias) => linear(x, weight, bias)),
}

describeOps('opsReduction', table)
