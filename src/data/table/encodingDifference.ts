import { type TableDescription, TableEncoder } from './TableEncoder.ts'

/**
 * The first thing by which two encoders make other numbers of the same row, in words; undefined if there is none. Texts that stand
 * for missing values are not compared: what they did to the training rows is in the rest.
 * @param options.statistics whether means, deviations and medians are compared. Default true
 */
export function encodingDifference(
  inFile: TableDescription,
  inData: TableDescription,
  { statistics = true } = {},
): string | undefined {
  const [then, now] = [new TableEncoder(inFile).description, new TableEncoder(inData).description]
  for (const [kind, title] of [
    ['categorical', 'categories'],
    ['continuous', 'numbers'],
  ] as const) {
    const names = [then, now].map((description) =>
      description[kind].map(({ name }) => `'${name}'`).join(', '),
    )
    if (names[0] !== names[1]) {
      return `the columns of ${title} are ${names[0] || 'none'} in the file, ${names[1] || 'none'} in the data`
    }
  }
  for (const [at, { name, categories, flagOf }] of then.categorical.entries()) {
    const other = now.categorical[at]!
    if (flagOf !== other.flagOf || JSON.stringify(categories) !== JSON.stringify(other.categories)) {
      return `the column '${name}' has other categories (${categories.length} in the file, ${other.categories.length} in the data)`
    }
  }
  for (const [at, { name, flagged, ...measured }] of then.continuous.entries()) {
    const other = now.continuous[at]!
    for (const statistic of ['mean', 'std', 'median'] as const) {
      if (!statistics || measured[statistic] === other[statistic]) continue
      return `the ${statistic} of the column '${name}' is ${measured[statistic]} in the file, ${other[statistic]} in the data`
    }
    if (flagged !== other.flagged) return `only one of them tells where the column '${name}' lacks a value`
  }
  return undefined
}
