// Convolutions beside the processor: groups, odd numbers of channels and uneven paddings, which libraries do in other ways.
import { beforeEach, describe, it } from 'vitest'
import { addon } from '../../src/engine/addon.ts'
import { channelsLast, conv2d, type DType, manualSeed, randn } from '../../src/engine/index.ts'
import { compareDevices } from './beside.ts'

const leaf = (shape: number[], dtype: DType) =>
  randn(shape, { device: 'cpu' }).mul(0.5).to(dtype).detach().requiresGrad_()

describe.skipIf(addon.deviceCount() === 0)('on a GPU as on the processor', () => {
  beforeEach(() => manualSeed(6))

  it.each(['float32', 'float64', 'bfloat16', 'float16'] as const)('convolution, %s', (dtype) => {
    for (const [input, weight, options] of [
      [[2, 3, 9, 8], [5, 3, 3, 3], { stride: 2, padding: 1 }],
      [[2, 8, 6, 5], [8, 1, 3, 3], { padding: 1, groups: 8 }],
      [[2, 6, 7, 7], [4, 3, 2, 3], { groups: 2, dilation: 2 }],
      [[1, 16, 4, 4], [24, 16, 1, 1], {}],
      [[3, 4, 6, 6], [4, 4, 4, 4], { padding: 'same' }],
      // More elements than the emulated library counts (the real one: 2^31): in parts, or not by the library at all.
      [[5, 8, 48, 48], [6, 8, 3, 3], { padding: 1 }],
      [[5, 4, 65, 65], [2, 4, 4, 4], { padding: 'same' }],
      [[5, 1, 120, 120], [1, 1, 1, 1], {}],
      [[2, 3, 150, 150], [2, 3, 3, 3], { stride: 3 }],
    ] as const) {
      compareDevices(
        `${input} by ${weight}, ${JSON.stringify(options)}`,
        (x, w, bias) => conv2d(channelsLast(x!), w!, bias!, options),
        [leaf([...input], dtype), leaf([...weight], dtype), leaf([weight[0]], dtype)],
      )
    }
  })
})
