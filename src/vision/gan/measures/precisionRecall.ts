import { ConfigError } from '../../../engine/errors.ts'
import { cat, noGrad, scope, type Tensor } from '../../../engine/index.ts'
import { checkFeatures } from './features.ts'

/** Rows of distances that are worked out at a time. */
const rows = 512

/**
 * Improved precision and recall (Kynkäänniemi et al. 2019) of made pictures, by features [N, F] in float64. A set's manifold is the
 * union of balls around its features, each as far as its k-th nearest neighbour in the set. Precision is the share of made pictures
 * in the manifold of the real ones (are they good?), recall the share of real ones in that of the made ones (are all kinds there?).
 * @param options `k`: which neighbour, default 3
 * @throws ShapeError, ConfigError
 */
export async function precisionRecall(
  real: Tensor,
  fake: Tensor,
  { k = 3 }: { k?: number } = {},
): Promise<{ precision: number; recall: number }> {
  if (!Number.isInteger(k) || k < 1) {
    throw new ConfigError(`precisionRecall: k must be a whole number of at least 1, got ${String(k)}`)
  }
  checkFeatures('precisionRecall', real, fake, k + 1)
  return scope(async () => {
    const [a, b] = noGrad(() => [real.double(), fake.double()]) as [Tensor, Tensor]
    return { precision: await shareWithin(b, a, k), recall: await shareWithin(a, b, k) }
  })
}

/** The share of `points` that lie in the manifold of `set`. */
async function shareWithin(points: Tensor, set: Tensor, k: number): Promise<number> {
  const radii: Tensor[] = []
  for (const part of parts(set)) {
    // The nearest is the point itself.
    const reach = scope(() =>
      noGrad(() =>
        squaredDistances(part, set)
          .topk(k + 1, 1, { largest: false })
          .values.index(':', k)
          .keep(),
      ),
    )
    radii.push(reach)
    await reach.data()
  }
  const reach = cat(radii, 0)
  let inside = 0
  for (const part of parts(points)) {
    inside += await scope(async () => {
      const hits = noGrad(() => squaredDistances(part, set).le(reach).any(1).to('float64').sum())
      return (await hits.data())[0] as number
    })
  }
  for (const radius of [...radii, reach]) radius.dispose()
  return inside / points.size(0)
}

function* parts(set: Tensor): Generator<Tensor> {
  for (let first = 0; first < set.size(0); first += rows) yield set.index(`${first}:${first + rows}`)
}

function squaredDistances(a: Tensor, b: Tensor): Tensor {
  const square = (x: Tensor) => x.square().sum(1)
  return square(a).unsqueeze(1).add(square(b)).sub(a.matmul(b.t()).mul(2)).clamp(0)
}
