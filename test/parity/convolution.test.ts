import { conv1d, conv2d, convTranspose1d, convTranspose2d } from '../../src/engine/index.ts'
import { describeOps, type Pair, type Table, three } from './opCases.ts'

const table: Table = {
  conv1d: three((x, weight, bias, { stride, padding, dilation, groups }) =>
    conv1d(x, weight, bias, { stride, padding: padding as Pair | 'same', dilation, groups }),
  ),
  conv2d: three((x, weight, bias, { stride, padding, dilation, groups }) =>
    conv2d(x, weight, bias, { stride, padding: padding as Pair | 'same' | 'valid', dilation, groups }),
  ),
}

const transposed: Table = {
  convTranspose1d: three((x, weight, bias, { stride, padding, outputPadding, dilation, groups }) =>
    convTranspose1d(x, weight, bias, { stride, padding: padding as Pair, outputPadding, dilation, groups }),
  ),
  convTranspose2d: three((x, weight, bias, { stride, padding, outputPadding, dilation, groups }) =>
    convTranspose2d(x, weight, bias, { stride, padding: padding as Pair, outputPadding, dilation, groups }),
  ),
}

describeOps('opsConvolution', table)
describeOps('opsConvolutionTransposed', transposed)
