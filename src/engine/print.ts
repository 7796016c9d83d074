import { addMethods } from './methods.ts'
import type { Tensor } from './tensor.ts'

declare module './tensor.ts' {
  interface Tensor {
    /** As PyTorch prints: values, dtype where it is not the default, what made it. Blocks until the values are there. */
    toString(): string
  }
}

const lineWidth = 80
const threshold = 1000
const edgeItems = 3
const precision = 4
const opening = 'tensor('

/** How one number is written, and how wide: decided for the whole tensor. */
interface Format {
  width: number
  text(value: number): string
}

/**
 * The text with `precision` digits, an exact half rounded to the even digit, as C's printf does; JavaScript rounds it away
 * from zero.
 *
 * @param write the number with as many digits after the point as asked
 */
function halfToEven(write: (digits: number) => string): string {
  const finer = write(precision + 1)
  if (!finer.endsWith('5')) return write(precision)
  const kept = finer.slice(0, -1)
  // 100 is as many digits as JavaScript gives: enough to tell a half from what is next to it.
  const half = write(100) === finer.padEnd(kept.length + 100 - precision, '0')
  return half && Number(kept.at(-1)) % 2 === 0 ? kept : write(precision)
}

function fixed(value: number): string {
  return halfToEven((digits) => value.toFixed(digits))
}

function scientific(value: number): string {
  const [, exponent = '0'] = value.toExponential(precision).split('e')
  const mantissa = halfToEven((digits) => value.toExponential(digits).split('e')[0] as string)
  const power = Number(exponent)
  return `${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
}

function special(value: number): string | null {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  return null
}

function floatFormat(values: readonly number[]): Format {
  const finite = values.filter((value) => Number.isFinite(value) && value !== 0).map(Math.abs)
  let text: (value: number) => string
  if (finite.length === 0) {
    text = (value) => `${value.toFixed(0)}.`
  } else {
    const largest = finite.reduce((a, b) => Math.max(a, b))
    const smallest = finite.reduce((a, b) => Math.min(a, b))
    const integers = finite.every((value) => Math.ceil(value) === value)
    if (integers) {
      const wide = largest / smallest > 1000 || largest > 1e8
      text = wide ? scientific : (value) => `${value.toFixed(0)}.`
    } else {
      const wide = largest / smallest > 1000 || largest > 1e8 || smallest < 1e-4
      text = wide ? scientific : fixed
    }
  }
  const full = (value: number) => special(value) ?? (Object.is(value, -0) ? `-${text(0)}` : text(value))
  // Zeros, NaN and infinities do not count for the width, as in PyTorch.
  const counted = values.filter((value) => Number.isFinite(value) && value !== 0)
  return { text: full, width: counted.reduce((width, value) => Math.max(width, full(value).length), 1) }
}

function plainFormat(values: readonly number[], bools: boolean): Format {
  const text = (value: number) => (bools ? (value !== 0 ? 'True' : 'False') : String(value))
  return { text, width: values.reduce((width, value) => Math.max(width, text(value).length), 1) }
}

// Positions shown of a dimension; null is the gap.
function shown(size: number, summarised: boolean): (number | null)[] {
  const all = Array.from({ length: size }, (_, i) => i)
  if (!summarised || size <= 2 * edgeItems) return all
  return [...all.slice(0, edgeItems), null, ...all.slice(size - edgeItems)]
}

function row(
  data: ArrayLike<number>,
  offset: number,
  size: number,
  format: Format,
  indent: number,
  summarised: boolean,
) {
  const items = shown(size, summarised).map((i) =>
    i === null ? ' ...' : format.text(data[offset + i] as number).padStart(format.width),
  )
  const perLine = Math.max(1, Math.floor((lineWidth - indent) / (format.width + 2)))
  const lines: string[] = []
  for (let i = 0; i < items.length; i += perLine) lines.push(items.slice(i, i + perLine).join(', '))
  return `[${lines.join(`,\n${' '.repeat(indent + 1)}`)}]`
}

function block(
  data: ArrayLike<number>,
  shape: readonly number[],
  depth: number,
  offset: number,
  format: Format,
  indent: number,
  summarised: boolean,
): string {
  const size = shape[depth] as number
  if (depth === shape.length - 1) return row(data, offset, size, format, indent, summarised)
  const stride = shape.slice(depth + 1).reduce((product, length) => product * length, 1)
  const parts = shown(size, summarised).map((i) =>
    i === null ? '...' : block(data, shape, depth + 1, offset + i * stride, format, indent + 1, summarised),
  )
  return `[${parts.join(`,${'\n'.repeat(shape.length - depth - 1)}${' '.repeat(indent + 1)}`)}]`
}

// The numbers that will be seen: the format is chosen for these.
function visible(data: ArrayLike<number>, shape: readonly number[], summarised: boolean): number[] {
  const values: number[] = []
  const walk = (depth: number, offset: number): void => {
    if (depth === shape.length) {
      values.push(data[offset] as number)
      return
    }
    const stride = shape.slice(depth + 1).reduce((product, length) => product * length, 1)
    for (const i of shown(shape[depth] as number, summarised))
      if (i !== null) walk(depth + 1, offset + i * stride)
  }
  walk(0, 0)
  return values
}

export function format(x: Tensor): string {
  const { shape, dtype } = x
  const suffixes: string[] = []
  if (x.numel === 0) {
    if (shape.length !== 1) suffixes.push(`size=(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`)
    if (dtype !== 'float32') suffixes.push(`dtype=${dtype}`)
  } else if (dtype !== 'float32' && dtype !== 'int64' && dtype !== 'bool') suffixes.push(`dtype=${dtype}`)
  if (x.gradFn !== null) suffixes.push(`gradFn=<${x.gradFn.name}>`)
  else if (x.requiresGrad) suffixes.push('requiresGrad=true')

  let body = '[]'
  if (x.numel > 0) {
    const data = x.dataSync()
    const summarised = x.numel > threshold
    const values = visible(data, shape, summarised)
    const floating = dtype === 'float32' || dtype === 'float64' || dtype === 'bfloat16' || dtype === 'float16'
    const style = floating ? floatFormat(values) : plainFormat(values, dtype === 'bool')
    body =
      shape.length === 0
        ? style.text(data[0] as number)
        : block(data, shape, 0, 0, style, opening.length, summarised)
  }
  return `${withSuffixes(opening + body, suffixes)})`
}

/** Puts each suffix on the last line, or on a line of its own where that would grow too long. */
function withSuffixes(text: string, suffixes: readonly string[]): string {
  let whole = text
  let last = text.length - text.lastIndexOf('\n') + 1
  for (const suffix of suffixes) {
    const fits = last + suffix.length + 2 <= lineWidth
    whole += fits ? `, ${suffix}` : `,\n${' '.repeat(opening.length)}${suffix}`
    last = suffix.length + (fits ? last + 2 : opening.length)
  }
  return whole
}

addMethods({
  toString() {
    return format(this)
  },
})
