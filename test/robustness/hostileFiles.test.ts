import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it, test } from 'vitest'
import { readIdx } from '../../src/data/idx.ts'
import { readCsv } from '../../src/data/table/readCsv.ts'
import { AnnealError } from '../../src/engine/errors.ts'
import { openWeightsFile } from '../../src/io/index.ts'
import { parseJson } from '../../src/io/parseJson.ts'
import { loadWeightsSync } from '../../src/io/weights.ts'
import * as nn from '../../src/nn/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { zipOf } from './seeds.ts'

const pickled = (...parts: (string | Buffer)[]) =>
  zipOf([
    { name: 'a/data.pkl', data: Buffer.concat(parts.map((part) => Buffer.from(part as string, 'latin1'))) },
  ])

const safetensors = (json: string) => {
  const head = Buffer.alloc(8)
  head.writeBigUInt64LE(BigInt(Buffer.byteLength(json)))
  return Buffer.concat([head, Buffer.from(json)])
}

async function weights(bytes: Buffer): Promise<string> {
  const folder = await temporaryFolder()
  const file = join(folder, 'a.pth')
  writeFileSync(file, bytes)
  const error = await openWeightsFile(file).then(
    async (opened) => {
      for (const name of opened.tensors.keys()) await opened.read(name)
      await opened.close()
    },
    (error: unknown) => error,
  )
  expect(readdirSync(folder)).toEqual(['a.pth']) // nothing was unpacked
  if (error === undefined) return 'read'
  expect(error).toBeInstanceOf(AnnealError)
  return (error as Error).message
}

/** What these files ask for would take a hundred times their size, or end the process. */
describe('a pickle', () => {
  const millions = 3_000_000
  it.each([
    ['dictionaries', '}'],
    ['lists', ']'],
    ['tuples', ')'],
    ['marks', '('],
    ['bytes', 'C\0'],
    ['memo entries', 'N\x94'],
    ['places on the stack', 'N'],
  ])('of millions of %s', async (_, opcode) => {
    expect(await weights(pickled(opcode.repeat(millions)))).toMatch(/more objects than any file of weights/)
  })

  it('of lists in lists, whatever looks at them', async () => {
    const deep = ']'.repeat(500_000) + 'a'.repeat(499_999)
    expect(await weights(pickled(`}${deep}Ns.`))).toMatch(/no state dict/)
    expect(await weights(pickled(`}Nr\x01\0\0\0${deep}s.`))).toMatch(/no state dict|cannot be read/)
  })

  it('of numbers too long to be numbers', async () => {
    const long = Buffer.alloc(2_000_000, 0xff)
    const length = Buffer.alloc(5)
    length[0] = 0x8b
    length.writeUInt32LE(long.length, 1)
    expect(await weights(pickled(length, long, '.'))).toMatch(/integer of 2000000 bytes is impossible/)
    expect(await weights(pickled(`I${'9'.repeat(1_000_000)}\n.`))).toMatch(/opcode 0x49/)
  })

  it('with keys that JavaScript knows', async () => {
    const keys = ['__proto__', 'constructor', 'toString'].map(
      (key) => `\x8c${String.fromCharCode(key.length)}${key}}`,
    )
    await weights(pickled('}(', ...keys, 'u.'))
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
    expect(Object.keys(Object.prototype)).toEqual([])
  })
})

describe('tensors of a pickle', () => {
  it('that look at the same bytes again and again', async () => {
    const tensor = (name: string, shape: string, strides: string) =>
      `\x8c${String.fromCharCode(name.length)}${name}ctorch._utils\n_rebuild_tensor_v2\n((\x8c\x07storagectorch\nFloatStorage\n` +
      `\x8c\x010\x8c\x03cpuM\xff\xfftQK\x00${shape}${strides}\x89}tR`
    const far = (length: number) =>
      Array.from({ length }, (_, i) => tensor(`w${i}`, 'K\x02\x85', 'M\xfe\xff\x85'))
    const archive = (...tensors: string[]) =>
      zipOf([
        { name: 'a/data.pkl', data: Buffer.from(`}(${tensors.join('')}u.`, 'latin1') },
        { name: 'a/data/0', data: Buffer.alloc(4 * 65_535) },
      ])
    expect(await weights(archive(...far(10)))).toBe('read')
    // 1000 times 256 KiB, of a file of 400.
    expect(await weights(archive(...far(1000)))).toMatch(
      /share what is stored and would take 262140000 bytes/,
    )
  })
})

describe('a pipe', () => {
  it('is not waited for', async ({ skip }) => {
    const pipe = join(await temporaryFolder(), 'a.safetensors')
    try {
      execFileSync('mkfifo', [pipe], { stdio: 'ignore' })
    } catch {
      return skip('no mkfifo here')
    }
    await expect(openWeightsFile(pipe)).rejects.toThrow(/is no regular file/)
    expect(() => loadWeightsSync(new nn.Linear(1, 1), pipe)).toThrow(/is no regular file/)
  })
})

describe('a zip archive', () => {
  it('whose entries have paths for names', async () => {
    for (const name of ['../../data.pkl', '/data.pkl', '../data.pkl', 'C:\\data.pkl', 'a/../../data.pkl']) {
      expect(await weights(zipOf([{ name, data: Buffer.from('}.') }]))).toMatch(/read|no data\.pkl/)
    }
  })

  it('of tens of thousands of entries is not read through', async () => {
    const entries = Array.from({ length: 65_000 }, (_, i) => ({ name: `a/data/${i}`, data: Buffer.alloc(0) }))
    expect(await weights(zipOf([...entries, { name: 'a/data.pkl', data: Buffer.from('}.') }]))).toBe('read')
  })
})

describe('a header of JSON', () => {
  it('nested deep, or of millions of values', async () => {
    const deep = '['.repeat(8_000_000)
    expect(await weights(safetensors(`{"a":${deep}${deep.replaceAll('[', ']')}}`))).toMatch(
      /nested more than 128/,
    )
    expect(await weights(safetensors(`{"a":${deep}`))).toMatch(/nested more than 128/)
    expect(await weights(safetensors(`{"a":[${'{},'.repeat(5_000_000)}0]}`))).toMatch(
      /more than 1000000 values/,
    )
    expect(await weights(Buffer.from(`{"weight_map":{"a":${deep}`))).toMatch(/nested more than 128/)
  })

  it('longer than any', async () => {
    expect(await weights(safetensors(`{"a":"${'x'.repeat(100e6)}"}`))).toMatch(
      /more than the 33554432 accepted/,
    )
  })

  it('is parsed as by JSON.parse, strings with brackets and quotes too', () => {
    for (const value of ['"', '\\', '\\"', '[{', ']]]}', '\\\\"[', '']) {
      const text = JSON.stringify({ [value]: [value, { a: value }] })
      expect(parseJson(text)).toEqual(JSON.parse(text))
    }
    for (const text of ['', '"', '"\\"', '[', ']', '{"a":}', ']'.repeat(500)]) {
      expect(() => parseJson(text)).toThrow(SyntaxError)
    }
    expect(() => parseJson('['.repeat(129))).toThrow(RangeError)
    expect(() => parseJson('[1,2,3]', 2)).toThrow(RangeError)
  })
})

describe('an index of weights in several files', () => {
  it.each(['../b.safetensors', '/etc/b.safetensors', 'c/b.safetensors', './b.safetensors', 'b.pth', ''])(
    'that names %s',
    async (place) => {
      expect(await weights(Buffer.from(JSON.stringify({ weight_map: { w: place } })))).toMatch(
        /an index may name \.safetensors files beside it only/,
      )
    },
  )

  it('that names very many', async () => {
    const places = Array.from({ length: 100_000 }, (_, i) => [`w${i}`, `${i}.safetensors`])
    expect(await weights(Buffer.from(JSON.stringify({ weight_map: Object.fromEntries(places) })))).toMatch(
      /0\.safetensors does not exist/,
    )
  })
})

describe('a CSV file', () => {
  const read = async (content: string | Buffer, options = {}) => {
    const file = join(await temporaryFolder(), 'a.csv')
    writeFileSync(file, content)
    return readCsv(file, options)
  }

  test('of one line, of very many columns, or of empty lines', async () => {
    expect((await read('x'.repeat(20_000_000))).columns).toHaveLength(1)
    const columns = Array.from({ length: 300_000 }, (_, i) => `c${i}`).join()
    expect((await read(`${columns}\n`)).columns).toHaveLength(300_000)
    await expect(read(','.repeat(300_000))).rejects.toThrow(/two columns are named ''/)
    await expect(read('\n'.repeat(5_000_000))).rejects.toThrow(/empty/)
  })

  test('with a quote that does not end, or bytes that are no text', async () => {
    await expect(read(`a,b\n1,"${'x\n'.repeat(3_000_000)}`)).rejects.toThrow(
      /a quote is opened here that does not end/,
    )
    await expect(read(Buffer.alloc(1_000_000))).rejects.toThrow(/no text/)
    await expect(read('a,b\n1,\0\n')).rejects.toThrow(/no text/)
  })

  test('of rows that cannot be read: there is an end to leaving them out', async () => {
    expect((await read(`a,b\n${'1\n'.repeat(1000)}1,2\n`, { onError: 'skip' })).skipped).toHaveLength(1000)
    await expect(read(`a,b\n${'1\n'.repeat(400_000)}`, { onError: 'skip' })).rejects.toThrow(
      /more than 100000 rows cannot be read, the last in line 100002/,
    )
  })
})

describe('an IDX file', () => {
  const read = async (content: Buffer) => {
    const file = join(await temporaryFolder(), 'a.idx')
    mkdirSync(join(file, '..'), { recursive: true })
    writeFileSync(file, content)
    return readIdx(file)
  }
  const header = (kind: number, ...sizes: number[]) =>
    Buffer.concat([
      Buffer.from([0, 0, kind, sizes.length]),
      ...sizes.map((size) => {
        const bytes = Buffer.alloc(4)
        bytes.writeUInt32BE(size)
        return bytes
      }),
    ])

  test('whose sizes multiply to more than can be counted, or to nothing', async () => {
    const most = 0xffffffff
    await expect(read(header(8, most, most, most))).rejects.toThrow(/cut short or damaged/)
    await expect(read(header(14, ...Array(255).fill(most)))).rejects.toThrow(/cut short or damaged/)
    await expect(read(header(8, ...Array(200).fill(most), 0))).rejects.toThrow(/cut short or damaged/)
    // 2^16 x 2^16 is 0 in 32 bits.
    await expect(read(header(8, 65_536, 65_536))).rejects.toThrow(/needs 4294967308 bytes/)
  })

  test('that unpacks to more than it says, or says more than may be', async () => {
    const bomb = gzipSync(Buffer.concat([header(8, 100), Buffer.alloc(200_000_000)]))
    await expect(read(bomb)).rejects.toThrow(/unpacks to more than the 108 bytes/)
    await expect(read(gzipSync(header(8, 0x7fffffff)))).rejects.toThrow(/claims 2147483655 bytes; at most/)
    await expect(read(gzipSync(Buffer.alloc(200_000_000)))).rejects.toThrow(/unpacks to more|no IDX file/)
  })
})
