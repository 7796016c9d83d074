import { adaptiveAvgPool2d, adaptiveMaxPool2d, avgPool2d, maxPool2d } from '../../src/engine/index.ts'
import { describeOps, one, type Pair, type Table } from './opCases.ts'

const table: Table = {
  maxPool2d: one((x, { kernelSize, stride, padding, dilation, ceilMode }) =>
    maxPool2d(x, kernelSize!, { stride, padding: padding as Pair, dilation, ceilMode }),
  ),
  avgPool2d: one((x, { kernelSize, stride, padding, ceilMode, countIncludePad }) =>
    avgPool2d(x, kernelSize!, { stride, padding: padding as Pair, ceilMode, countIncludePad }),
  ),
  adaptiveAvgPool2d: one((x, { outputSize }) => adaptiveAvgPool2d(x, outputSize!)),
  adaptiveMaxPool2d: one((x, { outputSize }) => adaptiveMaxPool2d(x, outputSize!)),
}

describeOps('opsPooling', table)
