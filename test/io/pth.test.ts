import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { CheckpointError } from '../../src/engine/errors.ts'
import { openWeightsFile, type WeightsFile } from '../../src/io/openWeightsFile.ts'
import type { RawTensor } from '../../src/io/rawTensor.ts'
import { temporaryFolder } from './temporaryFolder.ts'

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/io/${name}`, import.meta.url))
const sharedWeights = fileURLToPath(new URL('../../../shared/weights/resnet18-cifar10.pth', import.meta.url))

interface ExpectedTensor {
  dtype: string
  shape: number[]
  values: (number | boolean | string)[]
}
const expected = JSON.parse(await readFile(fixture('expected.json'), 'utf8')) as Record<
  'mixed' | 'model',
  Record<string, ExpectedTensor>
>

function half(bits: number): number {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023]
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

function valuesOf({ dtype, data }: RawTensor): (number | boolean | string)[] {
  const { buffer, byteOffset, byteLength } = data
  const view = <T>(make: new (buffer: ArrayBufferLike, offset: number, length: number) => T, size: number) =>
    new make(buffer, byteOffset, byteLength / size)
  switch (dtype) {
    case 'float64':
      return [...view(Float64Array, 8)]
    case 'float32':
      return [...view(Float32Array, 4)]
    case 'float16':
      return [...view(Uint16Array, 2)].map(half)
    case 'bfloat16':
      return [...view(Uint16Array, 2)].map(
        (bits) => new Float32Array(new Uint32Array([bits << 16]).buffer)[0]!,
      )
    case 'int64':
      return [...view(BigInt64Array, 8)].map(String)
    case 'int32':
      return [...view(Int32Array, 4)]
    case 'int16':
      return [...view(Int16Array, 2)]
    case 'int8':
      return [...view(Int8Array, 1)]
    case 'uint8':
      return [...data]
    case 'bool':
      return [...data].map((byte) => byte !== 0)
  }
}

async function contents(file: WeightsFile): Promise<Record<string, ExpectedTensor>> {
  const result: Record<string, ExpectedTensor> = {}
  try {
    for (const name of file.tensors.keys()) {
      const tensor = await file.read(name)
      result[name] = { dtype: tensor.dtype, shape: [...tensor.shape], values: valuesOf(tensor) }
    }
  } finally {
    await file.close()
  }
  return result
}

async function failure(promise: Promise<unknown>): Promise<CheckpointError> {
  const error = await promise.then(
    () => new Error('nothing was thrown'),
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(CheckpointError)
  return error as CheckpointError
}

describe('files of torch.save', () => {
  test.each([
    ['mixed.pth', 'pth'],
    ['mixed-legacy.pth', 'pth-legacy'],
    ['mixed-protocol4.pth', 'pth'],
    ['mixed-legacy-protocol5.pth', 'pth-legacy'],
    ['mixed.safetensors', 'safetensors'],
  ])('%s: every dtype, view and stride gives the values torch.load gives', async (name, format) => {
    const file = await openWeightsFile(fixture(name))
    expect(file.format).toBe(format)
    const found = await contents(file)
    if (format !== 'safetensors') expect(Object.keys(found)).toEqual(Object.keys(expected.mixed))
    expect(found).toEqual(expected.mixed)
  })

  test.each(['model.pth', 'wrapped.pth', 'wrapped-model-state-dict.pth'])(
    '%s: the state dict is found',
    async (name) => {
      expect(await contents(await openWeightsFile(fixture(name)))).toEqual(expected.model)
    },
  )

  test.each(['negative.pth', 'negative-legacy.pth'])(
    '%s: the sign is turned where the negative bit says so',
    async (name) => {
      const found = await contents(await openWeightsFile(fixture(name)))
      const values = [-0, 1, -2, 3, -4, 5]
      const expected = {
        complex32: { dtype: 'float16', shape: [2, 3], values },
        complex64: { dtype: 'float32', shape: [2, 3], values },
        complex128: { dtype: 'float64', shape: [2, 3], values },
        transposed: { dtype: 'float32', shape: [3, 2], values: [-0, 3, 1, -4, -2, 5] },
        parameter: { dtype: 'float32', shape: [2, 3], values },
        contiguous: { dtype: 'float32', shape: [2, 3], values },
        plain: { dtype: 'float32', shape: [2, 3], values: values.map((value) => -value) },
      }
      expect(found).toEqual(expected)
    },
  )

  test('no-crc32.pth: checksums that PyTorch did not compute are not compared', async () => {
    const found = await contents(await openWeightsFile(fixture('no-crc32.pth')))
    expect(found).toEqual({ w: { dtype: 'float32', shape: [4], values: [0, 1, 2, 3] } })
  })

  test('a state dict deeper inside is found by its key', async () => {
    expect(await contents(await openWeightsFile(fixture('nested.pth'), { key: 'ema.weights' }))).toEqual(
      expected.model,
    )
    const error = await failure(openWeightsFile(fixture('nested.pth')))
    expect(error.message).toMatch(/top-level keys are ema, done.*option "key"/s)
    expect((await failure(openWeightsFile(fixture('nested.pth'), { key: 'ema.x' }))).message).toContain(
      '"ema.x"',
    )
  })

  test.skipIf(!existsSync(sharedWeights))('the shared ResNet18', async () => {
    const file = await openWeightsFile(sharedWeights)
    expect(file.tensors.size).toBe(122)
    expect([...file.tensors.keys()].slice(0, 3)).toEqual(['conv1.weight', 'bn1.weight', 'bn1.bias'])
    expect(file.tensors.get('fc.weight')).toMatchObject({ dtype: 'float32', shape: [10, 512] })
    let count = 0
    for (const { shape } of file.tensors.values()) count += shape.reduce((a, b) => a * b, 1)
    // Parameters of a ResNet18 with 10 classes, running statistics, and 20 counters.
    expect(count).toBe(11_181_642 + 9_600 + 20)
    await file.close()
  })
})

describe('files that must be refused', () => {
  test.each([
    ['refuse-system.pth', /"posix\.system".*not on the list.*Nothing from the file was run/s],
    ['refuse-eval-legacy.pth', /"__builtin__\.eval"|"builtins\.eval"/],
    ['refuse-getattr-protocol4.pth', /"builtins\.getattr"/],
    ['refuse-whole-model.pth', /"torch\.nn\.modules\.linear\.Linear".*state_dict/s],
    ['refuse-strides.pth', /reaches element 101 .*strides \[100, 1\].*storage has 4/],
    ['refuse-offset.pth', /reaches element 4/],
    ['refuse-negative.pth', /strides of a tensor/],
    ['refuse-huge.pth', /too many elements/],
    ['refuse-dimensions.pth', /2 dimensions but 1 strides/],
    ['refuse-compressed.pth', /compressed/],
    ['refuse-torchscript.pth', /TorchScript/],
    ['refuse-short-storage.pth', /32 bytes, but the file holds 16/],
    ['refuse-big-endian.pth', /big-endian/],
    ['refuse-tuple-keys.pth', /two tensors under keys that are both "a tuple"/],
    ['refuse-same-keys.pth', /two tensors under keys that are both "1"/],
    ['refuse-negative-view.pth', /negative view of int64.*resolve_neg/],
  ])('%s', async (name, message) => {
    const error = await failure(openWeightsFile(fixture(name)))
    expect(error.message).toMatch(message)
    expect(error.message).toContain(name)
    expect(existsSync('/tmp/anneal-was-run')).toBe(false)
  })

  test('a tensor that unfolds four bytes into four terabytes', async () => {
    expect((await failure(openWeightsFile(fixture('refuse-expansion.pth')))).message).toMatch(
      /share what is stored and would take 4398046511104 bytes of reading/,
    )
  })

  test('a missing file, a folder, text, and an empty file', async () => {
    const folder = await temporaryFolder()
    await writeFile(`${folder}/text.pth`, 'this is no weights file at all')
    await writeFile(`${folder}/empty.pth`, '')
    expect((await failure(openWeightsFile(`${folder}/none.pth`))).message).toMatch(/none\.pth does not exist/)
    expect((await failure(openWeightsFile(folder))).message).toMatch(/is a folder/)
    expect((await failure(openWeightsFile(`${folder}/text.pth`))).message).toMatch(/no weights file/)
    expect((await failure(openWeightsFile(`${folder}/empty.pth`))).message).toMatch(/empty/)
  })

  test.each(['mixed.pth', 'mixed-legacy.pth', 'mixed.safetensors'])(
    '%s cut at every length',
    async (name) => {
      const whole = await readFile(fixture(name))
      const file = `${await temporaryFolder()}/cut`
      for (let length = 1; length < whole.byteLength; length += 23) {
        await writeFile(file, whole.subarray(0, length))
        await failure(openWeightsFile(file).then(contents))
      }
      await rm(file)
    },
  )

  test('every changed byte of a zip is either noticed or harmless', async () => {
    const whole = await readFile(fixture('model.pth'))
    const file = `${await temporaryFolder()}/flipped.pth`
    let noticed = 0
    for (let at = 0; at < whole.byteLength; at += 3) {
      const bytes = Buffer.from(whole)
      bytes[at] = bytes[at]! ^ 0x55
      await writeFile(file, bytes)
      try {
        expect(await contents(await openWeightsFile(file))).toEqual(expected.model)
      } catch (error) {
        expect(error).toBeInstanceOf(CheckpointError)
        noticed++
      }
    }
    expect(noticed).toBeGreaterThan(300)
  })

  test.each(['mixed-legacy.pth', 'mixed.safetensors'])(
    '%s has no checksums: whatever byte changes, the outcome is values or a CheckpointError',
    async (name) => {
      const whole = await readFile(fixture(name))
      const file = `${await temporaryFolder()}/flipped`
      for (const [start, mask] of [
        [0, 0x01],
        [1, 0x80],
        [2, 0xff],
      ] as const) {
        for (let at = start; at < whole.byteLength; at += 9) {
          const bytes = Buffer.from(whole)
          bytes[at] = bytes[at]! ^ mask
          await writeFile(file, bytes)
          await openWeightsFile(file)
            .then(contents)
            .catch((error: unknown) => expect(error).toBeInstanceOf(CheckpointError))
        }
      }
    },
  )

  test('a wrong checksum names the entry', async () => {
    const bytes = await readFile(fixture('model.pth'))
    // The last element of the convolution's weight stands somewhere in the archive exactly once.
    const values = new Float32Array(expected.model['conv.weight']!.values as number[])
    const at = bytes.indexOf(Buffer.from(values.buffer))
    expect(at).toBeGreaterThan(0)
    bytes[at] = bytes[at]! ^ 1
    const file = `${await temporaryFolder()}/crc.pth`
    await writeFile(file, bytes)
    expect((await failure(openWeightsFile(file))).message).toMatch(
      /"model\/data\/\d+" has checksum [0-9a-f]{8} instead of/,
    )
  })
})
