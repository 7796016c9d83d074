import { byCodePoint } from './byCodePoint.ts'

/**
 * Each label once, as text, in fastai's order: those that were given as numbers by value, texts by their code points (so that '10'
 * stands before '2'). Where only some are numbers, all count as texts.
 */
export function sortedLabels(labels: Iterable<string | number>): string[] {
  const unique = [...new Set(labels)]
  const texts = unique.map(String)
  return unique.every((label) => typeof label === 'number')
    ? sortedByValue(texts)
    : [...new Set(texts)].sort(byCodePoint)
}

/** Texts of numbers by their value; of one value, such as '1' and '01', by their code points. */
export function sortedByValue(texts: Iterable<string>): string[] {
  // The sort is stable.
  return [...new Set(texts)].sort(byCodePoint).sort((a, b) => Number(a) - Number(b))
}

/** Whether a column holds whole numbers throughout, which pandas would read as such. False for an empty one. */
export function areWholeNumbers(texts: readonly string[]): boolean {
  return texts.length > 0 && texts.every((text) => /^[+-]?\d+$/.test(text))
}
