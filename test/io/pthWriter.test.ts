import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { openWeightsFile } from '../../src/io/openWeightsFile.ts'
import { writePthFile } from '../../src/io/pthWriter.ts'
import type { TensorToWrite } from '../../src/io/safetensors.ts'
import { temporaryFolder } from './temporaryFolder.ts'

const bytes = (values: ArrayBufferView) => new Uint8Array(values.buffer)
const tensors: [string, TensorToWrite][] = [
  [
    'layer.weight',
    { dtype: 'float32', shape: [2, 3], data: bytes(Float32Array.of(0, 0.25, 0.5, -0.75, 1, 1.25)) },
  ],
  ['counter', { dtype: 'int64', shape: [], data: async () => bytes(BigInt64Array.of(-(2n ** 62n))) }],
  ['empty', { dtype: 'float64', shape: [0, 3], data: new Uint8Array(0) }],
  ['mask', { dtype: 'bool', shape: [2], data: Uint8Array.of(1, 0) }],
  ['half.ä', { dtype: 'bfloat16', shape: [1, 1], data: Uint8Array.of(0x80, 0x3f) }],
]

test('the file is byte for byte the one that PyTorch was seen to read', async () => {
  const file = `${await temporaryFolder()}/written.pth`
  await writePthFile(file, tensors)
  // make_fixtures.py loads this file with torch.load(weights_only=True) and compares every value.
  const seen = fileURLToPath(new URL('../fixtures/io/written.pth', import.meta.url))
  expect(await readFile(file)).toEqual(await readFile(seen))
})

test('what is written is read back', async () => {
  const file = `${await temporaryFolder()}/written.pth`
  await writePthFile(file, tensors)
  const opened = await openWeightsFile(file)
  expect([...opened.tensors.keys()]).toEqual(tensors.map(([name]) => name))
  for (const [name, { dtype, shape, data }] of tensors) {
    expect(await opened.read(name)).toMatchObject({
      dtype,
      shape,
      data: typeof data === 'function' ? await data() : data,
    })
  }
  await opened.close()
})

test('bytes that are not of the claimed size', async () => {
  const file = `${await temporaryFolder()}/written.pth`
  const wrong: TensorToWrite = { dtype: 'float32', shape: [2], data: new Uint8Array(4) }
  await expect(writePthFile(file, [['a', wrong]])).rejects.toThrow(/"a" has 4 bytes.*takes 8/)
})
