import { readFileSync, writeFileSync } from 'node:fs'

/** The JSON of a Learner's file, loosely: what is in it is to be spoilt. */
// biome-ignore lint/suspicious/noExplicitAny: any part of it may be anything
export type LooseHeader = any

/** Changes the Learner's header in a file, as somebody would who wants it to be believed: there is no checksum any more. */
export function forge(file: string, change: (header: LooseHeader) => void): void {
  const bytes = readFileSync(file)
  const length = Number(bytes.readBigUInt64LE(0))
  const outer = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as LooseHeader
  const header = JSON.parse(outer.__metadata__['anneal.learner']) as LooseHeader
  change(header)
  outer.__metadata__['anneal.learner'] = JSON.stringify(header)
  delete outer.__metadata__['anneal.crc32']
  const json = Buffer.from(JSON.stringify(outer))
  const head = Buffer.alloc(8)
  head.writeBigUInt64LE(BigInt(json.length))
  writeFileSync(file, Buffer.concat([head, json, bytes.subarray(8 + length)]))
}
