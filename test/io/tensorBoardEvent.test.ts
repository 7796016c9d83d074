import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { encodeEvent, histogramOf } from '../../src/io/tensorBoardEvent.ts'
import { crc32c, tfRecord } from '../../src/io/tfRecord.ts'

/** Made by TensorBoard: ../fixtures/io/make_events.py. */
const { records } = JSON.parse(
  readFileSync(new URL('../fixtures/io/events.json', import.meta.url), 'utf8'),
) as { records: Record<string, string> }

const encoded = (event: Parameters<typeof encodeEvent>[0]) =>
  Buffer.from(tfRecord(encodeEvent(event))).toString('base64')

describe('crc32c', () => {
  // RFC 3720, B.4, and the check value of the polynomial.
  it.each([
    [new Uint8Array(32), 0x8a9136aa],
    [new Uint8Array(32).fill(0xff), 0x62a8ab43],
    [Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    [Buffer.from('123456789'), 0xe3069283],
    [new Uint8Array(0), 0],
  ])('case %#', (bytes, expected) => expect(crc32c(bytes)).toBe(expected))
})

describe("TensorBoard's records, byte for byte", () => {
  it('the first of a file', () => {
    expect(encoded({ wallTime: 1700000000.25, fileVersion: 'brain.Event:2' })).toBe(records.version)
  })

  it('numbers', () => {
    const values = [
      { tag: 'loss/train', value: 0.7310585975646973 },
      { tag: 'lr', value: 0.003 },
      { tag: 'größe', value: Number.POSITIVE_INFINITY },
    ]
    expect(encoded({ wallTime: 1700000001.5, step: 300, values })).toBe(records.scalars)
  })

  it('distributions, and steps beyond 32 bits', () => {
    const value = { min: -1, max: 3, count: 4, sum: 4, sumOfSquares: 12, limits: [1, 3], counts: [1, 3] }
    const values = [{ tag: 'parameters/0.weight', value }]
    expect(encoded({ wallTime: 1700000002, step: 2 ** 40, values })).toBe(records.histogram)
  })
})

describe('histogramOf', () => {
  it('counts in buckets of equal width and leaves out what is not finite', () => {
    expect(histogramOf([0, 1, 2, 3, 4, Number.NaN, Number.POSITIVE_INFINITY], 4)).toEqual({
      min: 0,
      max: 4,
      count: 5,
      sum: 10,
      sumOfSquares: 30,
      limits: [1, 2, 3, 4],
      counts: [1, 1, 1, 2],
    })
    expect(histogramOf([2, 2])).toMatchObject({ min: 2, max: 2, limits: [2], counts: [2] })
    expect(histogramOf([])).toMatchObject({ count: 0, limits: [0], counts: [0] })
  })
})
