import { PbfWriter } from 'pbf'

// pbf writes the wire format of protocol buffers field by field, without generated code or a schema at run time: all that the four
// messages here need. Field numbers are those of TensorFlow's event.proto and summary.proto.

/** A distribution of values in buckets that adjoin each other. */
export interface Histogram {
  min: number
  max: number
  count: number
  sum: number
  sumOfSquares: number
  /** Upper limit of each bucket. */
  limits: readonly number[]
  counts: readonly number[]
}

/** A value under a tag: a number, or a distribution. */
export interface SummaryValue {
  tag: string
  value: number | Histogram
}

/** One record of an event file. */
export interface TensorBoardEvent {
  /** Seconds since 1970. */
  wallTime: number
  step?: number
  /** The first event of a file has `brain.Event:2` here. */
  fileVersion?: string
  values?: readonly SummaryValue[]
}

/** The event in protocol buffers' wire format. */
export function encodeEvent(event: TensorBoardEvent): Uint8Array {
  const writer = new PbfWriter()
  writeEvent(event, writer)
  return writer.finish()
}

function writeEvent({ wallTime, step, fileVersion, values }: TensorBoardEvent, writer: PbfWriter): void {
  writer.writeDoubleField(1, wallTime)
  if (step !== undefined) writer.writeVarintField(2, step)
  if (fileVersion !== undefined) writer.writeStringField(3, fileVersion)
  if (values !== undefined) writer.writeMessage(5, writeSummary, values)
}

function writeSummary(values: readonly SummaryValue[], writer: PbfWriter): void {
  for (const value of values) writer.writeMessage(1, writeValue, value)
}

function writeValue({ tag, value }: SummaryValue, writer: PbfWriter): void {
  writer.writeStringField(1, tag)
  if (typeof value === 'number') writer.writeFloatField(2, value)
  else writer.writeMessage(5, writeHistogram, value)
}

function writeHistogram(histogram: Histogram, writer: PbfWriter): void {
  writer.writeDoubleField(1, histogram.min)
  writer.writeDoubleField(2, histogram.max)
  writer.writeDoubleField(3, histogram.count)
  writer.writeDoubleField(4, histogram.sum)
  writer.writeDoubleField(5, histogram.sumOfSquares)
  writer.writePackedDouble(6, [...histogram.limits])
  writer.writePackedDouble(7, [...histogram.counts])
}

/** Counts values in `buckets` of equal width from their least to their greatest. Values that are not finite are left out. */
export function histogramOf(values: Iterable<number>, buckets = 30): Histogram {
  const finite = Float64Array.from(values).filter(Number.isFinite)
  let [min, max, sum, sumOfSquares] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0]
  for (const value of finite) {
    min = Math.min(min, value)
    max = Math.max(max, value)
    sum += value
    sumOfSquares += value ** 2
  }
  if (finite.length === 0) return { min: 0, max: 0, count: 0, sum, sumOfSquares, limits: [0], counts: [0] }
  const width = (max - min) / buckets
  if (width === 0) {
    const count = finite.length
    return { min, max, count, sum, sumOfSquares, limits: [max], counts: [count] }
  }
  const counts = new Array<number>(buckets).fill(0)
  for (const value of finite) counts[Math.min(buckets - 1, Math.floor((value - min) / width))]!++
  const limits = counts.map((_, i) => (i === buckets - 1 ? max : min + width * (i + 1)))
  return { min, max, count: finite.length, sum, sumOfSquares, limits, counts }
}
