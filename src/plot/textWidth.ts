/** Advance widths of a sans-serif face, in em, by class of character; a little generous, so that nothing is cut. */
const widths: readonly (readonly [RegExp, number])[] = [
  [/[ijl.,:;'|!]/, 0.31],
  [/[\s()[\]{}ft/\\r"-]/, 0.4],
  [/[mwMW@%]/, 0.92],
  [/[A-Z&#]/, 0.7],
  [/[\u0020-\u024f]/, 0.62],
]

/** How much wider bold text is. */
export const boldness = 1.1

const cache = new Map<string, number>()

function charWidth(char: string): number {
  let width = cache.get(char)
  if (width === undefined) {
    // Scripts beyond Latin: Greek and Cyrillic are near a capital's width, ideographs a full em.
    width = widths.find(([set]) => set.test(char))?.[1] ?? (char < '\u2e80' ? 0.7 : 1)
    cache.set(char, width)
  }
  return width
}

/** Estimated width in pixels of `text` in a sans-serif face of `fontSize` pixels. */
export function textWidth(text: string, fontSize: number): number {
  let em = 0
  for (const char of text) em += charWidth(char)
  return em * fontSize
}
