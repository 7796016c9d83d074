import { styleText } from 'node:util'
import type { Case } from './cases.ts'
import { type Ceiling, ceilingOf, type Rates } from './ceiling.ts'
import type { Measurement } from './measure.ts'
import type { Backend } from './sides.ts'

/** A case's figures as they are shown and kept. Times in milliseconds. */
export interface Row {
  name: string
  ours: number
  peer: number | null
  /** PyTorch's time over ours: the median of the turns, and the least and the most of them. */
  ratio: number | null
  spread: [number, number] | null
  goal: number | null
  /** The better one of PyTorch's. */
  layout: string | null
  /** Ours, and the nearest of PyTorch's layouts': with bfloat16 these lie apart as well. */
  losses: [number, number | null]
  tolerance: number
  lossesAgree: boolean | null
  peakMegabytes: [number, number | null]
  timerDelay99: number | null
  /** null where a backend cannot train the case, or not within a minute. */
  tensorFlow: Partial<Record<Backend, number | null>>
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Turns' figures in one row; `theirs` is empty without PyTorch, `otherLoss` is of its slower layout. */
export function summarise(
  name: string,
  { goal = undefined as number | undefined, tolerance }: Pick<Case, 'goal' | 'tolerance'>,
  own: readonly Measurement[],
  theirs: readonly Measurement[],
  layout: string | null,
  otherLoss: number | null = null,
): Row {
  const ratios = theirs.map(({ times }, i) => median(times) / median(own[i]!.times)).sort((a, b) => a - b)
  const delays = own.flatMap(({ timerDelay99 }) => timerDelay99 ?? [])
  const loss = own[0]!.loss
  const candidates = [theirs[0]?.loss ?? null, otherLoss].filter((candidate) => candidate !== null)
  candidates.sort((a, b) => Math.abs(a - loss) - Math.abs(b - loss))
  const losses: Row['losses'] = [loss, candidates[0] ?? null]
  return {
    name,
    ours: median(own.map(({ times }) => median(times))),
    peer: theirs.length ? median(theirs.map(({ times }) => median(times))) : null,
    ratio: ratios.length ? median(ratios) : null,
    spread: ratios.length ? [ratios[0]!, ratios.at(-1)!] : null,
    goal: goal ?? null,
    layout,
    losses,
    tolerance,
    lossesAgree: losses[1] === null ? null : agree(losses[0], losses[1], tolerance),
    peakMegabytes: [
      Math.max(...own.map(({ peakMegabytes }) => peakMegabytes)),
      theirs.length ? Math.max(...theirs.map(({ peakMegabytes }) => peakMegabytes)) : null,
    ],
    timerDelay99: delays.length ? median(delays) : null,
    tensorFlow: {},
  }
}

/** Whether two losses differ by no more than that part of the larger one. */
export function agree(ours: number, theirs: number, tolerance: number): boolean {
  return Math.abs(ours - theirs) <= tolerance * Math.max(Math.abs(ours), Math.abs(theirs))
}

const NAME = 38

export function heading(compared: boolean, backends: readonly Backend[]): string {
  return (
    'case'.padEnd(NAME) +
    'ours'.padStart(10) +
    (compared
      ? `${'PyTorch'.padStart(11)}${'ratio'.padStart(9)}  ${'spread'.padEnd(10)}${'goal'.padStart(6)}`
      : '') +
    backends.map((backend) => `tfjs ${backend}`.padStart(11)).join('') +
    'peak MB'.padStart(compared ? 14 : 9) +
    'delay'.padStart(9) +
    '  last loss'
  )
}

/** What stands right of the case's name. */
export function figures(row: Row, backends: readonly Backend[]): string {
  const compared = row.peer !== null
  const megabytes = row.peakMegabytes.flatMap((value) => (value === null ? [] : value.toFixed(0)))
  const other = backends.map((backend) => {
    const time = row.tensorFlow[backend]
    return (time === undefined ? '' : time === null ? '-' : duration(time)).padStart(11)
  })
  return (
    duration(row.ours).padStart(10) +
    (compared ? duration(row.peer!).padStart(11) + comparison(row) : '') +
    other.join('') +
    megabytes.join(' / ').padStart(compared ? 14 : 9) +
    (row.timerDelay99 === null ? '' : `${row.timerDelay99.toFixed(1)} ms`).padStart(9) +
    loss(row)
  )
}

function comparison({ ratio, spread, goal }: Row): string {
  const text = `${ratio!.toFixed(2)} ×`.padStart(9)
  const colour = goal === null ? 'bold' : ratio! >= goal ? 'green' : 'yellow'
  const range = `${spread![0].toFixed(1)}–${spread![1].toFixed(1)}`
  return `${styleText(colour, text)}  ${range.padEnd(10)}${(goal === null ? '' : String(goal)).padStart(6)}`
}

function loss({ losses: [own, theirs], lossesAgree, tolerance }: Row): string {
  if (tolerance === 0) return ''
  const text = `  ${own.toPrecision(4)}`
  if (lossesAgree !== false) return text
  return styleText('red', `${text} ≠ ${theirs!.toPrecision(4)}`)
}

export const duration = (milliseconds: number) => {
  if (milliseconds < 0.1) return `${(1000 * milliseconds).toFixed(2)} µs`
  return `${milliseconds.toFixed(milliseconds < 100 ? 2 : 0)} ms`
}

/**
 * Measured steps of ResNet18 beside what arithmetic and memory alone would take, and the longer of the two as a part of the
 * measured. Winograd's filtering can do better than the direct method, whose operations are counted; caches can do better than
 * the memory.
 */
export function ceilingTable(
  steps: readonly { name: string; ours: number; work: NonNullable<Case['resnet']> }[],
  rates: Rates,
) {
  const giga = (rate: number) => (rate / 1e9).toFixed(0)
  const lines = steps.map(({ name, ours, work }) => {
    const ceiling: Ceiling = ceilingOf(work.batch, work.size, work.dtype, rates)
    const least = Math.max(ceiling.arithmetic, ceiling.memory)
    return (
      `  ${name.padEnd(NAME - 2)}${ceiling.gigaOperations.toFixed(1).padStart(7)}${duration(ceiling.arithmetic).padStart(11)}` +
      `${ceiling.gigabytes.toFixed(2).padStart(8)}${duration(ceiling.memory).padStart(11)}` +
      `${duration(ours).padStart(12)}${`${((100 * least) / ours).toFixed(0)} %`.padStart(9)}`
    )
  })
  const title = `Ceiling: ${giga(rates.float32)} Gop/s in float32, ${giga(rates.bfloat16)} in bfloat16 (product of 2048 x 2048), ${giga(rates.bandwidth)} GB/s (copy of 256 MB)`
  const head =
    `  ${''.padEnd(NAME - 2)}${'Gop'.padStart(7)}${'takes'.padStart(11)}${'GB'.padStart(8)}${'takes'.padStart(11)}` +
    `${'measured'.padStart(12)}${'reached'.padStart(9)}`
  return [title, head, ...lines].join('\n')
}

/** Where the engine's thread spent a step. */
export function profileTable(name: string, { profile = [], times }: Measurement): string {
  const rows = [...profile].sort((a, b) => b.seconds - a.seconds)
  const perStep = (seconds: number) => ((1000 * seconds) / times.length).toFixed(2).padStart(9)
  const rest = rows.slice(10)
  const sum = (list: typeof rows) => list.reduce((total, { seconds }) => total + seconds, 0)
  return [
    `${name}: ${duration(times.reduce((total, time) => total + time, 0) / times.length)} a step on average, of it on the engine's thread (ms):`,
    ...rows
      .slice(0, 10)
      .map(
        ({ op, count, seconds }) =>
          `  ${op.padEnd(28)}${perStep(seconds)}  in ${Math.round(count / times.length)} calls`,
      ),
    `  ${`${rest.length} other ops`.padEnd(28)}${perStep(sum(rest))}`,
  ].join('\n')
}
