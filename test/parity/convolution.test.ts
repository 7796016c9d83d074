import { conv2d } from '../../src/engine/index.ts'
import { describeOps, type Pair, type Table, three } from './opCases.ts'

const table: Table = {
  conv2d: three((x, weight, bias, { stride, padding, dilation, groups }) =>
    conv2d(x, weight, bias, { stride, padding: padding as Pair, dilation, groups }),
  ),
}

describeOps('opsConvolution', table, ['convTranspose2d'])
