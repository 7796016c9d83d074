import type { RandomNumbers } from './random.ts'

/** Numbers that lengths and offsets lie with. */
const lies = [0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff]
const longLies = [0n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 64n - 1n]

type Mutation = (bytes: Buffer, random: RandomNumbers, other: Buffer) => Buffer

const at = (bytes: Buffer, random: RandomNumbers) => Math.floor(random() * bytes.length)

/** Headers and directories are short, and stand at both ends: half of all mutations go there. */
function place(bytes: Buffer, random: RandomNumbers): number {
  const kind = random()
  const near = Math.min(bytes.length, 200)
  if (kind < 0.25) return Math.floor(random() * near)
  if (kind < 0.5) return bytes.length - 1 - Math.floor(random() * near)
  return at(bytes, random)
}

const mutations: readonly Mutation[] = [
  function flipBit(bytes, random) {
    const copy = Buffer.from(bytes)
    const where = place(bytes, random)
    copy[where]! ^= 1 << Math.floor(random() * 8)
    return copy
  },
  function setByte(bytes, random) {
    const copy = Buffer.from(bytes)
    copy[place(bytes, random)] = Math.floor(random() * 256)
    return copy
  },
  function lieIn32Bits(bytes, random) {
    if (bytes.length < 4) return bytes
    const copy = Buffer.from(bytes)
    const where = Math.min(place(bytes, random), bytes.length - 4)
    const value = lies[Math.floor(random() * lies.length)]!
    if (random() < 0.5) copy.writeUInt32LE(value, where)
    else copy.writeUInt32BE(value, where)
    return copy
  },
  function lieIn64Bits(bytes, random) {
    if (bytes.length < 8) return bytes
    const copy = Buffer.from(bytes)
    copy.writeBigUInt64LE(
      longLies[Math.floor(random() * longLies.length)]!,
      Math.min(place(bytes, random), bytes.length - 8),
    )
    return copy
  },
  function cutShort(bytes, random) {
    return bytes.subarray(0, at(bytes, random))
  },
  function leaveOut(bytes, random) {
    const start = place(bytes, random)
    return Buffer.concat([bytes.subarray(0, start), bytes.subarray(start + 1 + Math.floor(random() * 32))])
  },
  function repeat(bytes, random) {
    const start = place(bytes, random)
    const piece = bytes.subarray(start, start + 1 + Math.floor(random() * 64))
    const times = random() < 0.1 ? 2000 : 2
    return Buffer.concat([bytes.subarray(0, start), ...Array(times).fill(piece), bytes.subarray(start)])
  },
  function splice(bytes, random, other) {
    const from = at(other, random)
    const piece = other.subarray(from, from + 1 + Math.floor(random() * 128))
    const start = place(bytes, random)
    return Buffer.concat([bytes.subarray(0, start), piece, bytes.subarray(start + piece.length)])
  },
  function append(bytes, random, other) {
    return random() < 0.5
      ? Buffer.concat([bytes, other])
      : Buffer.concat([other, bytes.subarray(at(bytes, random))])
  },
  function digit(bytes, random) {
    // Numbers in JSON and CSV lie as digits.
    const text = bytes.toString('latin1')
    const numbers = [...text.matchAll(/\d+/g)]
    const found = numbers[Math.floor(random() * numbers.length)]
    if (!found) return bytes
    const numerals = [
      '0',
      '-1',
      '1e308',
      '4294967296',
      '9007199254740993',
      '99999999999999999999',
      '0.5',
      'null',
      '[]',
    ]
    const instead = numerals[Math.floor(random() * numerals.length)]!
    return Buffer.from(
      text.slice(0, found.index) + instead + text.slice(found.index + found[0].length),
      'latin1',
    )
  },
]

/** One to four mutations one after the other. */
export function mutate(bytes: Buffer, random: RandomNumbers, other: Buffer): Buffer {
  let result = bytes
  for (let left = 1 + Math.floor(random() * 4); left > 0; left--) {
    if (result.length === 0) return result
    result = mutations[Math.floor(random() * mutations.length)]!(result, random, other)
  }
  return result
}

const names = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  '$array',
  '$number',
  'length',
  '',
  '../../up',
  '\u0000',
]
const values: readonly (() => unknown)[] = [
  () => null,
  () => true,
  () => -1,
  () => 1e308,
  () => 2 ** 53,
  () => 'constructor',
  () => '__proto__',
  () => [],
  () => ({}),
  () => ({ $array: 'x', type: 'constructor' }),
  () => ({ $number: '__proto__' }),
  () => JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}'),
]

/** One part of a JSON value is replaced, removed, renamed, moved or nested. The value itself is left alone. */
export function mutateJson(json: unknown, random: RandomNumbers): unknown {
  const copy = structuredClone(json)
  const parts: [Record<string, unknown>, string][] = []
  const visit = (value: unknown): void => {
    if (value === null || typeof value !== 'object') return
    for (const key of Object.keys(value)) {
      parts.push([value as Record<string, unknown>, key])
      visit((value as Record<string, unknown>)[key])
    }
  }
  visit(copy)
  const part = parts[Math.floor(random() * parts.length)]
  if (!part) return values[Math.floor(random() * values.length)]!()
  const [owner, key] = part
  const value = owner[key]
  const kind = Math.floor(random() * 5)
  if (kind === 0) owner[key] = values[Math.floor(random() * values.length)]!()
  else if (kind === 1) delete owner[key]
  else if (kind === 2 && !Array.isArray(owner)) {
    delete owner[key]
    // As JSON.parse does it: a key of its own, even __proto__.
    Object.defineProperty(owner, names[Math.floor(random() * names.length)]!, {
      value,
      enumerable: true,
      writable: true,
      configurable: true,
    })
  } else if (kind === 3) {
    const [from, other] = parts[Math.floor(random() * parts.length)]!
    owner[key] = structuredClone(from[other])
  } else {
    owner[key] = random() < 0.3 ? abyss : random() < 0.5 ? [value] : { a: value }
  }
  return copy
}

/** Stands for lists in lists, deeper than any stack. */
const abyss = '@abyss@'

/** As text; lists that no recursive writer could write are put in here. */
export function jsonText(json: unknown): string {
  return JSON.stringify(json).replaceAll(`"${abyss}"`, '['.repeat(20_000) + ']'.repeat(20_000))
}
