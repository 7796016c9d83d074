import { expect, test } from 'vitest'
import { crc32Of } from '../../src/io/checksum.ts'

test('the check value of the polynomial, whole and in pieces, and going on from a sum', () => {
  const bytes = Buffer.from('123456789')
  for (const piece of [undefined, 1, 4, 9, 100]) expect(crc32Of(bytes, 0, piece)).toBe(0xcbf43926)
  expect(crc32Of(bytes.subarray(4), crc32Of(bytes.subarray(0, 4)), 2)).toBe(0xcbf43926)
})

test('of no bytes it stays as it was', () => {
  expect(crc32Of(new Uint8Array(0), 0x12345678)).toBe(0x12345678)
})

test('4 GiB of zeros', { timeout: 60_000 }, () => {
  // zlib.crc32(bytes(2**32)) in Python. Memory that is only read takes none.
  expect(crc32Of(new Uint8Array(2 ** 32))).toBe(3523407757)
})
