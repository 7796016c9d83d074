import { toNumber } from './toNumber.ts'

/**
 * Where a text stands among categories. Where all of them are numbers, or all of them true and false, it also goes by value: 1 is
 * 1.0, and True is true; pandas writes a column of whole numbers as 1.0 once it lacks one.
 */
export function categoryPlaces(categories: readonly string[]): (text: string) => number | undefined {
  const places = new Map(categories.map((category, at) => [category, at]))
  const meaningOf = commonMeaning(categories)
  if (!meaningOf) return (text) => places.get(text)
  const byValue = new Map<string, number>()
  for (const [category, at] of places) {
    const value = meaningOf(category)
    // Of 01 and 1, which are two categories if training has both, 1.0 is the latter.
    if (!byValue.has(value) || category === value) byValue.set(value, at)
  }
  return (text) => places.get(text) ?? byValue.get(meaningOf(text))
}

/** What makes one text of those that mean the same; undefined where texts mean only themselves. */
function commonMeaning(categories: readonly string[]): ((text: string) => string) | undefined {
  if (categories.length === 0) return undefined
  if (categories.every((category) => /^(?:true|false)$/i.test(category))) return (text) => text.toLowerCase()
  if (categories.every((category) => toNumber(category) !== undefined)) return plainNumber
  return undefined
}

/** 1 for 1.0 and 01. Ids with more digits than a number holds stay as they are: they would become each other. */
function plainNumber(text: string): string {
  const number = toNumber(text)
  const isExact = number !== undefined && (Number.isSafeInteger(number) || !Number.isInteger(number))
  return isExact ? String(number) : text
}
