import { ConfigError } from '../../engine/errors.ts'
import { normalizeImages, type Tensor, tensor } from '../../engine/index.ts'
import { markKnown } from './known.ts'
import type { BatchTransform } from './Transform.ts'

/** Bytes to float32 from 0 to 1, as torchvision's `ToTensor`; on the device, a batch at a time. */
export function toTensor(): BatchTransform {
  return markKnown({
    kind: 'batch',
    name: 'toTensor',
    parameters: {},
    apply: (x) => (x.dtype === 'uint8' ? normalizeImages(x, [0, 0, 0], [1, 1, 1]) : x),
  })
}

/**
 * Subtracts the mean and divides by the standard deviation, channel by channel, both of pictures from 0 to 1; as
 * torchvision's `Normalize`. A batch of bytes is brought to that range in the same pass.
 * @throws ConfigError unless both have three finite numbers and the deviations are positive.
 */
export function normalize(mean: readonly number[], std: readonly number[]): BatchTransform {
  const triple = (values: readonly number[]) => values?.length === 3 && values.every(Number.isFinite)
  if (!triple(mean) || !triple(std) || std.some((value) => value <= 0)) {
    throw new ConfigError(
      `normalize: mean and std are three numbers each (red, green, blue), std positive; got ${JSON.stringify(mean)} and ${JSON.stringify(std)}`,
    )
  }
  const parameters = { mean: [...mean], std: [...std] }
  return markKnown({
    kind: 'batch',
    name: 'normalize',
    parameters,
    apply: (x) => {
      if (x.dtype === 'uint8') return normalizeImages(x, parameters.mean, parameters.std)
      return x.sub(perChannel(parameters.mean, x)).div(perChannel(parameters.std, x))
    },
  })
}

function perChannel(values: number[], x: Tensor): Tensor {
  return tensor(values, { dtype: x.dtype, device: x.device }).view([1, 3, 1, 1])
}
