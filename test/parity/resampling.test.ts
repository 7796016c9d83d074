import {
  affineGrid,
  gridSample,
  type InterpolateMode,
  interpolate,
  pixelShuffle,
  pixelUnshuffle,
} from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'
import { describeOps, one, type Table, two } from './opCases.ts'

const table: Table = {
  interpolate: one((x, { size, scaleFactor, mode, alignCorners, recomputeScaleFactor }) =>
    interpolate(x, { size, scaleFactor, mode: mode as InterpolateMode, alignCorners, recomputeScaleFactor }),
  ),
  gridSample: two((x, grid, { mode, paddingMode, alignCorners }) =>
    gridSample(x, grid, { mode, paddingMode, alignCorners }),
  ),
  affineGrid: one((theta, { shape, alignCorners }) => affineGrid(theta, shape!, { alignCorners })),
  pixelShuffle: one((x, { upscaleFactor }) => pixelShuffle(x, upscaleFactor!)),
  reflectionPad2d: one((x, { padding }) =>
    new nn.ReflectionPad2d(padding as [number, number, number, number]).forward(x),
  ),
  pixelUnshuffle: one((x, { upscaleFactor }) => pixelUnshuffle(x, upscaleFactor!)),
}

describeOps('opsResampling', table)
