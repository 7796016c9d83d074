import { encodingDifference } from '../data/table/encodingDifference.ts'
import type { TableDescription } from '../data/table/TableEncoder.ts'
import { CheckpointError } from '../engine/errors.ts'
import type { StateValue } from './callbackState.ts'
import type { LearnerData } from './data.ts'
import { honestNow, type LearnerFile } from './learnerFile.ts'
import { listOf, mapOf, nullable, text } from './stateChecks.ts'
import { decodeState, encodeState } from './stateCodec.ts'

/**
 * What the model's inputs and outputs stand for, as far as data tell: an output the class at its place, a number of a table's column
 * the category at its place. How pictures are scaled and normalised is no part of it: that may change from fit to fit.
 */
export interface DataMeaning {
  classes: readonly string[] | null
  table: TableDescription | null
}

export function meaningOf(data: LearnerData): DataMeaning {
  const item = data.describeItem?.()
  return { classes: data.classes ?? null, table: item?.kind === 'row' ? item.table : null }
}

/** For the header of a file: names and numbers alone, no arrays. */
export async function encodeMeaning(data: LearnerData): Promise<unknown> {
  return (await encodeState(meaningOf(data) as unknown as StateValue, '')).json
}

/** What a file of a Learner tells, whichever way it was written; files that others wrote, and older ones, tell nothing. */
function meaningIn({ header, tensors }: LearnerFile): DataMeaning {
  if (header.data !== undefined) return decodeState(header.data, tensors) as unknown as DataMeaning
  if (header.learner === undefined) return { classes: null, table: null }
  const { classes, item } = decodeState(header.learner, tensors) as unknown as {
    classes: string[] | null
    item: { kind: string; table: TableDescription } | null
  }
  return { classes, table: item?.kind === 'row' ? item.table : null }
}

const anything = mapOf(() => {})

/**
 * Whether a model from a file means the same by its numbers as the data do. Another mean or deviation of a table's column, which
 * follow from the rows that were drawn for training, is only warned of.
 * @throws CheckpointError for other classes, columns or categories
 */
export function checkMeaning(file: string, content: LearnerFile, data: LearnerData): void {
  honestNow(file, () => {
    const saved = meaningIn(content)
    nullable(listOf(text))(saved.classes, 'classes')
    nullable(anything)(saved.table, 'table')
    const given = meaningOf(data)
    const classes = classesDifference(saved.classes, given.classes)
    if (classes !== undefined) {
      throw new CheckpointError(
        `${file} and the data have ${classes}. Outputs of the model mean those of the file: make the data with \`classes\` in its ` +
          'order. `strict: false` takes the weights whatever they mean, for a model that shall learn other classes',
      )
    }
    if (!saved.table || !given.table) return
    const encoding = encodingDifference(saved.table, given.table, { statistics: false })
    if (encoding !== undefined) {
      throw new CheckpointError(
        `${file} was trained on rows that were encoded otherwise than those of the data: ${encoding}. Make the data as before: ` +
          'of the same table with the same `seed`, or with `encodeAs`. `strict: false` takes the weights whatever they mean',
      )
    }
    const statistics = encodingDifference(saved.table, given.table)
    if (statistics !== undefined) warnOfStatistics(file, statistics)
  })
}

function warnOfStatistics(file: string, difference: string): void {
  process.emitWarning(
    `${file} was trained on numbers that were normalised otherwise than those of the data: ${difference}. With the same rows for ` +
      'training, which a `seed` draws again, or with `encodeAs`, they are normalised alike',
    { type: 'AnnealWarning', code: 'ANNEAL_OTHER_STATISTICS' },
  )
}

/** How lists of classes differ, in words; undefined if they do not, or one is not known. */
export function classesDifference(
  saved: readonly string[] | null,
  given: readonly string[] | null,
): string | undefined {
  if (!saved || !given) return undefined
  const length = Math.max(saved.length, given.length)
  const at = Array.from({ length }, (_, i) => saved[i] === given[i]).indexOf(false)
  if (at < 0) return undefined
  const isReordered = JSON.stringify([...saved].sort()) === JSON.stringify([...given].sort())
  return (
    `${isReordered ? 'the same classes in another order' : 'other classes'}, from class ${at} on: ` +
    `${listed(saved, at)} in the file, ${listed(given, at)} in the data`
  )
}

/** So many names are shown in a message. */
const mostNames = 10

/** The names around the place where lists differ. */
function listed(classes: readonly string[], at: number): string {
  const first = classes.length <= mostNames ? 0 : Math.max(0, at - 2)
  const names = classes.slice(first, first + mostNames).map((name) => JSON.stringify(name))
  const last = first + names.length < classes.length ? '…' : ''
  return `${classes.length} [${[first > 0 ? '…' : '', ...names, last].filter(Boolean).join(', ')}]`
}
