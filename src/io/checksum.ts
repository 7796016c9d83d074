import { crc32 } from 'node:zlib'

/** Node's crc32 takes the length of its data as 32 bits: of 4 GiB and more it silently leaves out all or most. */
const MAX_PIECE = 1 << 30

/**
 * CRC-32 of bytes, however many. Of none it is `sum`, where zlib may make 0.
 * @param sum that of what comes before them. Default 0: nothing does
 * @param piece bytes that are given to Node at a time
 */
export function crc32Of(bytes: Uint8Array, sum = 0, piece = MAX_PIECE): number {
  for (let done = 0; done < bytes.length; done += piece) {
    sum = crc32(bytes.subarray(done, Math.min(done + piece, bytes.length)), sum)
  }
  return sum
}
