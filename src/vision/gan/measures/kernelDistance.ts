import { ConfigError } from '../../../engine/errors.ts'
import {
  getRngState,
  manualSeed,
  noGrad,
  randperm,
  scope,
  setRngState,
  type Tensor,
} from '../../../engine/index.ts'
import { checkFeatures } from './features.ts'

export interface KernelDistanceOptions {
  /** Pictures of each kind in a subset. Default 1000, or as many as there are. */
  subsetSize?: number
  /** Subsets over which the mean is taken. Default 100; 1 where a subset holds all pictures. */
  subsets?: number
  /** What the subsets follow from; the engine's generator is left alone. Default 0. */
  seed?: number
}

/**
 * Kernel distance of two sets of features [N, F], the KID of Bińkowski et al. (2018) where they are Inception's: the unbiased square of
 * the maximum mean discrepancy with the kernel (x·y / F + 1)³, in float64. Unlike the Fréchet distance its expectation
 * does not depend on the number of pictures; it may be a little below 0.
 * @returns mean and standard deviation over the subsets
 * @throws ShapeError, ConfigError
 */
export async function kernelDistance(
  real: Tensor,
  fake: Tensor,
  options: KernelDistanceOptions = {},
): Promise<{ mean: number; std: number }> {
  checkFeatures('kernelDistance', real, fake, 2)
  const most = Math.min(real.size(0), fake.size(0))
  const { subsetSize = Math.min(1000, most), seed = 0 } = options
  const whole = real.size(0) === subsetSize && fake.size(0) === subsetSize
  const { subsets = whole ? 1 : 100 } = options
  if (!(Number.isInteger(subsetSize) && subsetSize >= 2 && subsetSize <= most)) {
    throw new ConfigError(`kernelDistance: subsetSize must be from 2 to ${most}, got ${subsetSize}`)
  }
  if (!(Number.isInteger(subsets) && subsets >= 1)) {
    throw new ConfigError(`kernelDistance: subsets must be a whole number of at least 1, got ${subsets}`)
  }
  const state = getRngState()
  manualSeed(seed)
  const picks = Array.from({ length: subsets }, () =>
    [real, fake].map((set) =>
      whole ? undefined : scope(() => randperm(set.size(0)).index(`:${subsetSize}`)).keep(),
    ),
  )
  setRngState(state)
  const values: number[] = []
  for (const [first, second] of picks) {
    values.push(
      await scope(async () => {
        const [a, b] = noGrad(() => [
          first ? real.indexSelect(0, first) : real,
          second ? fake.indexSelect(0, second) : fake,
        ])
        return (await noGrad(() => squaredDiscrepancy(a!.double(), b!.double())).data())[0] as number
      }),
    )
    first?.dispose()
    second?.dispose()
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  return { mean, std: Math.sqrt(variance) }
}

function squaredDiscrepancy(a: Tensor, b: Tensor): Tensor {
  const kernel = (x: Tensor, y: Tensor) => x.matmul(y.t()).div(x.size(1)).add(1).pow(3)
  const within = (x: Tensor) => {
    const count = x.size(0)
    const all = kernel(x, x)
    return all
      .sum()
      .sub(all.diagonal().sum())
      .div(count * (count - 1))
  }
  return within(a).add(within(b)).sub(kernel(a, b).mean().mul(2))
}
