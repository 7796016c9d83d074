import type { SkippedItem } from './BatchIterator.ts'
import { withoutAdvice } from './skipAdvice.ts'

// A warning names this many items that were left out.
const LISTED = 20

/** Lists items that were left out of `total`, in one warning. Nothing for none. */
export function reportSkipped(skipped: readonly SkippedItem[], total: number): void {
  if (skipped.length === 0) return
  const list = skipped.slice(0, LISTED).map(({ reason }) => `\n  ${withoutAdvice(reason)}`)
  const rest = skipped.length - LISTED
  const more = rest > 0 ? `\n  … and ${rest} more (see \`skipped\`)` : ''
  process.emitWarning(
    `${skipped.length} of ${total} items were left out because they could not be read:${list.join('')}${more}`,
    { type: 'AnnealWarning', code: 'ANNEAL_SKIPPED_ITEMS' },
  )
}
