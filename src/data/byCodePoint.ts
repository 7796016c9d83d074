/** For sorting texts by their code points, as Python does: JavaScript's own order is that of UTF-16's code units. */
export function byCodePoint(a: string, b: string): number {
  if (a === b) return 0
  // Only surrogates stand elsewhere than their code points: those are behind all that one unit holds. UTF-8 keeps the order.
  const bytewise = surrogate.test(a) || surrogate.test(b) ? Buffer.compare(Buffer.from(a), Buffer.from(b)) : 0
  return bytewise || (a < b ? -1 : 1)
}

const surrogate = /[\ud800-\udfff]/
