import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { CheckpointError } from '../../src/engine/errors.ts'
import { openWeightsFile } from '../../src/io/openWeightsFile.ts'
import type { StoredDType } from '../../src/io/rawTensor.ts'
import { type TensorToWrite, writeSafetensorsFile } from '../../src/io/safetensors.ts'
import { temporaryFolder } from './temporaryFolder.ts'

const bytes = (...values: number[]) => Uint8Array.from(values)

/** A file with the given header and as many data bytes. */
async function fileWith(header: unknown, dataLength: number, claimedLength?: number): Promise<string> {
  const file = `${await temporaryFolder()}/made.safetensors`
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(claimedLength ?? json.byteLength))
  await writeFile(file, Buffer.concat([length, json, Buffer.alloc(dataLength)]))
  return file
}

describe('safetensors', () => {
  test('what is written is read back: order, dtypes, shapes, bytes, metadata', async () => {
    const file = `${await temporaryFolder()}/a.safetensors`
    const tensors: [string, TensorToWrite][] = [
      ['b.small', { dtype: 'bool', shape: [3], data: bytes(1, 0, 1) }],
      [
        'a.large',
        { dtype: 'float64', shape: [1, 2], data: new Uint8Array(new Float64Array([1.5, -2]).buffer) },
      ],
      [
        'scalar',
        { dtype: 'int64', shape: [], data: async () => new Uint8Array(new BigInt64Array([7n]).buffer) },
      ],
      ['empty', { dtype: 'float32', shape: [0, 4], data: bytes() }],
      ['half', { dtype: 'bfloat16', shape: [1], data: bytes(0x80, 0x3f) }],
    ]
    await writeSafetensorsFile(file, tensors, { format: 'pt', note: 'ä "quoted"' })
    const opened = await openWeightsFile(file)
    expect(opened.metadata).toEqual({ format: 'pt', note: 'ä "quoted"' })
    expect([...opened.tensors.keys()]).toEqual(['b.small', 'a.large', 'scalar', 'empty', 'half'])
    for (const [name, tensor] of tensors) {
      const data = typeof tensor.data === 'function' ? await tensor.data() : tensor.data
      expect(await opened.read(name)).toEqual({ dtype: tensor.dtype, shape: tensor.shape, data })
    }
    await opened.close()
  })

  test("the layout is the one the format's own library writes", async () => {
    const source = fileURLToPath(new URL('../fixtures/io/mixed.safetensors', import.meta.url))
    const opened = await openWeightsFile(source)
    const file = `${await temporaryFolder()}/again.safetensors`
    const tensors = [...opened.tensors].map(
      ([name, info]) => [name, { ...info, data: async () => (await opened.read(name)).data }] as const,
    )
    await writeSafetensorsFile(file, tensors, opened.metadata)
    await opened.close()
    expect(await readFile(file)).toEqual(await readFile(source))
  })

  test.each<[string, unknown, number, RegExp]>([
    [
      'a lying end',
      { a: { dtype: 'F32', shape: [4], data_offsets: [0, 16] } },
      8,
      /claims bytes 0 to 16 .* holds 8 bytes/,
    ],
    [
      'a size that is not the shape',
      { a: { dtype: 'F32', shape: [4], data_offsets: [0, 12] } },
      12,
      /12 bytes, but F32 with shape \[4\] takes 16/,
    ],
    [
      'an end before the begin',
      { a: { dtype: 'U8', shape: [4], data_offsets: [4, 0] } },
      4,
      /claims bytes 4 to 0/,
    ],
    [
      'a negative offset',
      { a: { dtype: 'U8', shape: [4], data_offsets: [-4, 0] } },
      4,
      /claims bytes -4 to 0/,
    ],
    [
      'offsets that are no integers',
      { a: { dtype: 'U8', shape: [1], data_offsets: [0, '1'] } },
      4,
      /two integers/,
    ],
    ['no offsets', { a: { dtype: 'U8', shape: [1] } }, 4, /two integers/],
    [
      'overlap',
      {
        a: { dtype: 'U8', shape: [4], data_offsets: [0, 4] },
        b: { dtype: 'U8', shape: [4], data_offsets: [2, 6] },
      },
      6,
      /"a" and "b" overlap/,
    ],
    [
      'a gap',
      {
        a: { dtype: 'U8', shape: [2], data_offsets: [0, 2] },
        b: { dtype: 'U8', shape: [2], data_offsets: [4, 6] },
      },
      6,
      /2 bytes before tensor "b" belong to none/,
    ],
    [
      'bytes left over',
      { a: { dtype: 'U8', shape: [2], data_offsets: [0, 2] } },
      3,
      /last 1 bytes belong to no tensor/,
    ],
    [
      'an unknown dtype',
      { a: { dtype: 'C64', shape: [1], data_offsets: [0, 8] } },
      8,
      /dtype "C64"; dtypes that can be read: F64/,
    ],
    [
      'an inherited name for a dtype',
      { a: { dtype: 'constructor', shape: [1], data_offsets: [0, 8] } },
      8,
      /dtype "constructor"/,
    ],
    ['a fractional shape', { a: { dtype: 'U8', shape: [1.5], data_offsets: [0, 1] } }, 1, /impossible shape/],
    [
      'a shape beyond counting',
      { a: { dtype: 'U8', shape: [2 ** 40, 2 ** 40], data_offsets: [0, 1] } },
      1,
      /too many elements/,
    ],
    ['an entry that is a list', { a: [] }, 0, /damaged header entry/],
    ['metadata that is no text', { __metadata__: { a: 1 } }, 0, /__metadata__/],
    ['no JSON', '{"a": ', 0, /no JSON/],
    ['a list', '[1, 2]', 0, /no weights file/],
  ])('%s is refused', async (_, header, dataLength, message) => {
    const file = await fileWith(header, dataLength)
    await expect(openWeightsFile(file)).rejects.toThrow(message)
    await expect(openWeightsFile(file)).rejects.toThrow(CheckpointError)
    await expect(openWeightsFile(file)).rejects.toThrow(file)
  })

  test.each([
    [100_000_000, /claims 100000000 bytes, more than/],
    [2 ** 60, /more than/],
    [1000, /cut short or damaged: the header should lie at bytes 8 to 1008/],
  ])('a header that claims %d bytes is refused', async (claimed, message) => {
    await expect(openWeightsFile(await fileWith({}, 0, claimed))).rejects.toThrow(message)
  })

  test('writing refuses data that is not of the claimed size, and leaves nothing behind', async () => {
    const folder = await temporaryFolder()
    const file = `${folder}/a.safetensors`
    await writeFile(file, 'old')
    const wrong: [string, TensorToWrite][] = [
      ['a', { dtype: 'float32', shape: [2], data: bytes(1, 2, 3, 4) }],
    ]
    await expect(writeSafetensorsFile(file, wrong)).rejects.toThrow(
      /"a" has 4 bytes, but float32 with shape \[2\] takes 8/,
    )
    expect(await readFile(file, 'utf8')).toBe('old')
    expect(await readdir(folder)).toEqual(['a.safetensors'])
  })

  test('names that cannot be written', async () => {
    const file = `${await temporaryFolder()}/a.safetensors`
    const one = { dtype: 'uint8' as StoredDType, shape: [1], data: bytes(1) }
    await expect(writeSafetensorsFile(file, [['__metadata__', one]])).rejects.toThrow(/cannot be named/)
    await expect(
      writeSafetensorsFile(file, [
        ['a', one],
        ['a', one],
      ]),
    ).rejects.toThrow(/two tensors/)
    await expect(stat(file)).rejects.toThrow(/ENOENT/)
  })

  test('a tensor called __proto__ is a tensor like any other', async () => {
    const file = `${await temporaryFolder()}/a.safetensors`
    await writeSafetensorsFile(file, [['__proto__', { dtype: 'uint8', shape: [1], data: bytes(9) }]])
    const opened = await openWeightsFile(file)
    expect((await opened.read('__proto__')).data).toEqual(bytes(9))
    await opened.close()
  })
})
