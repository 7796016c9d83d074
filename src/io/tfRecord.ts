/** TFRecord: TensorFlow's framing of records in a file, each with the checksums of its length and of its bytes. */

// Castagnoli's polynomial, bits reversed.
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

/** CRC-32C (Castagnoli; RFC 3720, appendix B.4). Not the CRC-32 of zlib. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

/** The checksum as records store it: rotated and shifted, so that a checksum of data with checksums in it is not degenerate. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

/** One record: length (8 bytes), its checksum (4), the bytes, their checksum (4); all little-endian. */
export function tfRecord(bytes: Uint8Array): Uint8Array {
  const record = new Uint8Array(bytes.length + 16)
  const view = new DataView(record.buffer)
  view.setBigUint64(0, BigInt(bytes.length), true)
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true)
  record.set(bytes, 12)
  view.setUint32(12 + bytes.length, maskedCrc(bytes), true)
  return record
}
