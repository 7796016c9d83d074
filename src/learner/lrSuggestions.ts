/**
 * Learning rates that the finder's five rules advise; null where a rule finds none (too few points).
 * The first four are fastai v2's (`schedule.py`), `minGradient` is v1's.
 */
export interface LrSuggestions {
  /** A third and a sixth into the longest valley of the loss: a good maximum for one-cycle. */
  valley: number | null
  /** Where the loss falls steepest against the logarithm of the rate, from one batch to the next; as unsteady as `minGradient`. */
  steep: number | null
  /** A tenth of the rate with the lowest loss. */
  minimum: number | null
  /** From the end, an interval of 15 points slides left until the slopes at its ends agree; its left end. */
  slide: number | null
  /**
   * Where the loss falls steepest from batch to batch, after the first 10: the least central difference. A single jump back from a
   * bad batch at a high rate can win; `valley` is steadier.
   */
  minGradient: number | null
}

interface Sweep {
  lrs: readonly number[]
  losses: readonly number[]
}

/**
 * @param lrs rate of each batch, rising
 * @param losses smoothed loss of each batch
 * @param numIt number of batches that the sweep was planned for
 */
export function suggestLrs(lrs: readonly number[], losses: readonly number[], numIt: number): LrSuggestions {
  const sweep = trim(lrs, losses, Math.floor(numIt / 10))
  return {
    valley: valley(sweep),
    steep: steep(sweep),
    minimum: minimum(sweep),
    slide: slide(sweep),
    minGradient: minGradient(trim(lrs, losses, 10)),
  }
}

/** The noisy beginning and the diverging end say little; nothing does from the first loss on that is not finite. */
function trim(lrs: readonly number[], losses: readonly number[], skipStart: number): Sweep {
  const kept = losses.slice(skipStart, -5)
  const broken = kept.findIndex((loss) => !Number.isFinite(loss))
  const count = broken < 0 ? kept.length : broken
  return { lrs: lrs.slice(skipStart, skipStart + count), losses: kept.slice(0, count) }
}

function valley({ lrs, losses }: Sweep): number | null {
  const lengths = new Array<number>(losses.length).fill(1) // longest decreasing subsequence that ends at each point
  let end = 0
  for (let i = 1; i < losses.length; i++) {
    for (let j = 0; j < i; j++) {
      if (losses[i]! < losses[j]! && lengths[i]! < lengths[j]! + 1) lengths[i] = lengths[j]! + 1
    }
    if (lengths[end]! < lengths[i]!) end = i
  }
  const length = lengths[end]! > 1 ? lengths[end]! : 0
  return lrs[end - length + Math.floor(length / 3) + Math.floor(length / 6)] ?? null
}

function steep({ lrs, losses }: Sweep): number | null {
  const slopes = losses
    .slice(1)
    .map((loss, i) => (loss - losses[i]!) / (Math.log(lrs[i + 1]!) - Math.log(lrs[i]!)))
  return lrs[indexOfLeast(slopes)] ?? null
}

function minimum({ lrs, losses }: Sweep): number | null {
  const lr = lrs[indexOfLeast(losses)]
  return lr === undefined ? null : lr / 10
}

function slide({ lrs, losses }: Sweep, width = 15, threshold = 0.005): number | null {
  if (losses.length <= width) return null
  const slopes = gradient(losses)
  let right = losses.length - 1
  let answer = lrs[right - width]!
  while (right >= width && Math.abs(slopes[right]! - slopes[right - width]!) > threshold) {
    answer = lrs[right - width]!
    right--
  }
  return answer
}

function minGradient({ lrs, losses }: Sweep): number | null {
  return losses.length < 2 ? null : (lrs[indexOfLeast(gradient(losses))] ?? null)
}

/** Central differences over the index, one-sided at the edges, as numpy.gradient. */
function gradient(values: readonly number[]): number[] {
  return values.map((_, i) => {
    const before = Math.max(i - 1, 0)
    const after = Math.min(i + 1, values.length - 1)
    return (values[after]! - values[before]!) / (after - before)
  })
}

function indexOfLeast(values: readonly number[]): number {
  let least = 0
  for (let i = 1; i < values.length; i++) if (values[i]! < values[least]!) least = i
  return values.length === 0 ? -1 : least
}
