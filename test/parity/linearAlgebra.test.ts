import { einsum } from '../../src/engine/index.ts'
import { describeOps, type Table, two } from './opCases.ts'

const table: Table = {
  outer: two((a, b) => a.outer(b)),
  mm: two((a, b) => a.mm(b)),
  bmm: two((a, b) => a.bmm(b)),
  mv: two((a, b) => a.mv(b)),
  dot: two((a, b) => a.dot(b)),
  matmul: two((a, b) => a.matmul(b)),
  einsum: (inputs, { equation }) => einsum(equation!, ...inputs),
}

describeOps('opsLinearAlgebra', table)
