import { ConfigError, ShapeError } from '../../../engine/errors.ts'
import { cat, noGrad, scope, Tensor } from '../../../engine/index.ts'
import { inEvalMode } from '../../../learner/evaluate.ts'
import * as nn from '../../../nn/index.ts'

/** A network that pictures are compared by, or a function; gives features [N, F], or maps [N, F, H, W] whose mean is taken. */
export type FeatureNetwork = nn.Module | ((pictures: Tensor) => Tensor)

/**
 * Features of pictures, for {@link frechetDistance} and the like.
 * @param pictures [N, C, H, W], or batches of them
 * @param network takes the pictures as they are: normalise and resize them in a function if it was trained on others
 * @returns [N, F], float64, on the CPU; it lives until it is disposed of
 * @throws ShapeError, ConfigError
 */
export async function extractFeatures(
  pictures: Tensor | AsyncIterable<Tensor> | Iterable<Tensor>,
  network: FeatureNetwork,
  { batchSize = 64 }: { batchSize?: number } = {},
): Promise<Tensor> {
  if (!(network instanceof nn.Module) && typeof network !== 'function') {
    throw new ConfigError(
      `extractFeatures: the network must be a module or a function, got ${String(network)}`,
    )
  }
  const run = (x: Tensor) => (network instanceof nn.Module ? network.forward(x) : network(x))
  const parts: Tensor[] = []
  const collect = async () => {
    for await (const batch of pictures instanceof Tensor ? slices(pictures, batchSize) : pictures) {
      const part = scope(() => noGrad(() => flat(run(batch)).double().to('cpu').keep()))
      parts.push(part)
      await part.data() // one batch at a time
      if (pictures instanceof Tensor) batch.dispose() // a slice of ours
    }
  }
  await (network instanceof nn.Module ? inEvalMode(network, collect) : collect())
  if (parts.length === 0) throw new ShapeError('extractFeatures: there are no pictures')
  const all = noGrad(() => cat(parts, 0)).keep()
  for (const part of parts) part.dispose()
  return all
}

function* slices(pictures: Tensor, batchSize: number): Generator<Tensor> {
  for (let first = 0; first < pictures.size(0); first += batchSize) {
    yield pictures.index(`${first}:${first + batchSize}`)
  }
}

function flat(features: Tensor): Tensor {
  if (features.ndim === 4) return features.mean([2, 3])
  if (features.ndim === 2) return features
  throw new ShapeError(
    `extractFeatures: the network must give [N, F] or [N, F, H, W], got [${features.shape.join(', ')}]`,
  )
}

/** @internal @throws ShapeError unless both are features of one width, with at least `least` rows each */
export function checkFeatures(owner: string, real: Tensor, fake: Tensor, least: number): void {
  for (const features of [real, fake]) {
    if (!(features instanceof Tensor) || features.ndim !== 2) {
      throw new ShapeError(
        `${owner}: features are [N, F], got ${features instanceof Tensor ? `[${features.shape.join(', ')}]` : String(features)}`,
      )
    }
    if (features.size(0) < least) {
      throw new ShapeError(`${owner}: needs at least ${least} pictures of each kind, got ${features.size(0)}`)
    }
  }
  if (real.size(1) !== fake.size(1)) {
    throw new ShapeError(
      `${owner}: features of ${real.size(1)} and of ${fake.size(1)} numbers: they must come from one network`,
    )
  }
}
