import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { CheckpointError } from '../../src/engine/errors.ts'
import { memoryStats, noGrad, ones, type Tensor, tensor, zeros } from '../../src/engine/index.ts'
import {
  loadWeights,
  loadWeightsSync,
  openWeightsFile,
  readSafetensors,
  readStateDict,
  saveWeights,
  writeSafetensors,
} from '../../src/io/index.ts'
import { writeSafetensorsFile } from '../../src/io/safetensors.ts'
import * as nn from '../../src/nn/index.ts'
import { temporaryFolder } from './temporaryFolder.ts'

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/io/${name}`, import.meta.url))
const expected = JSON.parse(await readFile(fixture('expected.json'), 'utf8')) as Record<
  'mixed' | 'model',
  Record<string, { dtype: string; shape: number[]; values: (number | boolean | string)[] }>
>

/** The model that make_fixtures.py saves. */
class Small extends nn.Module {
  conv = new nn.Conv2d(2, 3, 3, { bias: false })
  bn = new nn.BatchNorm2d(3)
  fc = new nn.Linear(4, 2)
}

const flat = (x: Tensor) =>
  x.shape.length === 0 ? [x.item()] : (x.flatten().toArray() as (number | boolean)[])
const numbers = (x: Tensor) => flat(x).map(Number)

function expectState(state: Record<string, Tensor>): void {
  expect(Object.keys(state)).toEqual(Object.keys(expected.model))
  for (const [name, { shape, values }] of Object.entries(expected.model)) {
    expect(state[name]!.shape).toEqual(shape)
    expect(numbers(state[name]!)).toEqual(values.map(Number))
  }
}

describe('loadWeights', () => {
  test.each(['model.pth', 'wrapped.pth', 'wrapped-module.pth', 'wrapped-model-state-dict.pth'])(
    '%s',
    async (name) => {
      const model = new Small()
      expect(await loadWeights(model, fixture(name))).toEqual({ missingKeys: [], unexpectedKeys: [] })
      expectState(model.stateDict())
      const again = new Small()
      loadWeightsSync(again, fixture(name))
      expectState(again.stateDict())
    },
  )

  test('an old file without counters of batch norm, in the older format', async () => {
    const model = new Small()
    expect(await loadWeights(model, fixture('model-without-counters.pth'))).toEqual({
      missingKeys: [],
      unexpectedKeys: [],
    })
    expectState(model.stateDict())
  })

  test('values are converted to the dtype of the model', async () => {
    const model = new Small().double()
    await loadWeights(model, fixture('model.pth'))
    expect(model.fc.weight.dtype).toBe('float64')
    expect(numbers(model.fc.weight)).toEqual(expected.model['fc.weight']!.values)
  })

  test('all that does not fit is told at once, and nothing is changed', async () => {
    class Other extends nn.Module {
      conv = new nn.Conv2d(2, 4, 3, { bias: false })
      fc = new nn.Linear(4, 5)
      extra = new nn.Linear(1, 1)
    }
    const model = new Other()
    const before = numbers(model.fc.weight)
    const error = await loadWeights(model, fixture('model.pth')).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(CheckpointError)
    const { message } = error as Error
    expect(message).toContain('missing from the file (2): extra.weight, extra.bias')
    expect(message).toContain(
      'not in the model (5): bn.weight, bn.bias, bn.running_mean, bn.running_var, bn.num_batches_tracked',
    )
    expect(message).toContain(
      'of another shape (3): conv.weight is [3, 2, 3, 3] in the file, [4, 2, 3, 3] in the model; ' +
        'fc.weight is [2, 4] in the file, [5, 4] in the model; fc.bias is [2] in the file, [5] in the model',
    )
    expect(message).toContain('model.pth')
    expect(numbers(model.fc.weight)).toEqual(before)
    await expect(loadWeights(model, fixture('model.pth'), { strict: false })).rejects.toThrow(
      /of another shape/,
    )
  })

  test('a dtype that the engine does not have is told before anything is changed', async () => {
    const file = `${await temporaryFolder()}/int8.safetensors`
    const model = new nn.Linear(2, 1)
    const data = (values: ArrayBufferView) => new Uint8Array(values.buffer)
    await writeSafetensorsFile(file, [
      ['weight', { dtype: 'float32', shape: [1, 2], data: data(Float32Array.of(5, 6)) }],
      ['bias', { dtype: 'int8', shape: [1], data: data(Int8Array.of(7)) }],
    ])
    const before = numbers(model.weight)
    const message = /nothing was changed.\n {2}of a dtype .* \(1\): bias is int8\n.*skip/
    await expect(loadWeights(model, file)).rejects.toThrow(message)
    expect(() => loadWeightsSync(model, file, { strict: false })).toThrow(message)
    expect(numbers(model.weight)).toEqual(before)
    await loadWeights(model, file, { skip: (name) => name === 'bias' })
    expect(numbers(model.weight)).toEqual([5, 6])
  })

  test('strict: false loads what agrees and tells the rest', async () => {
    class Other extends nn.Module {
      fc = new nn.Linear(4, 2)
      extra = new nn.Linear(1, 1)
    }
    const model = new Other()
    const result = await loadWeights(model, fixture('model.pth'), { strict: false })
    expect(result.missingKeys).toEqual(['extra.weight', 'extra.bias'])
    expect(result.unexpectedKeys).toHaveLength(6)
    expect(numbers(model.fc.weight)).toEqual(expected.model['fc.weight']!.values)
    await expect(loadWeights(new nn.Linear(1, 1), fixture('model.pth'), { strict: false })).rejects.toThrow(
      /no name agrees/,
    )
  })

  test('skip leaves names alone on both sides', async () => {
    class Other extends nn.Module {
      conv = new nn.Conv2d(2, 3, 3, { bias: false })
      bn = new nn.BatchNorm2d(3)
      fc = new nn.Linear(4, 9)
    }
    const model = new Other()
    await loadWeights(model, fixture('model.pth'), { skip: (name) => name.startsWith('fc.') })
    expect(numbers(model.conv.weight)).toEqual(expected.model['conv.weight']!.values)
  })

  test('a model whose own names begin with "module."', async () => {
    const file = `${await temporaryFolder()}/m.safetensors`
    class Wrapping extends nn.Module {
      module = new nn.Linear(2, 2)
    }
    await saveWeights(new Wrapping(), file)
    expect((await loadWeights(new Wrapping(), file)).missingKeys).toEqual([])
  })

  test("a Learner's checkpoint: what it holds of the optimizer is left aside", async () => {
    const file = `${await temporaryFolder()}/best.safetensors`
    const model = new nn.Linear(2, 2)
    const state = { ...model.stateDict(), '__optimizer__/weight/momentumBuffer': ones([2, 2]) }
    await writeSafetensors(file, state, { 'anneal.learner': '{}' })
    const other = new nn.Linear(2, 2)
    expect(await loadWeights(other, file)).toEqual({ missingKeys: [], unexpectedKeys: [] })
    expect(numbers(other.weight)).toEqual(numbers(model.weight))
  })

  test('loading keeps no memory', async () => {
    const model = new Small()
    await loadWeights(model, fixture('model.pth'))
    const before = memoryStats().bytesInUse
    for (let i = 0; i < 10; i++) await loadWeights(model, fixture('model.pth'))
    expect(memoryStats().bytesInUse).toBe(before)
  })
})

describe('readStateDict', () => {
  const engineDtypes = Object.entries(expected.mixed).filter(
    ([, { dtype }]) => !['int16', 'int8'].includes(dtype),
  )

  test.each(['model.pth', 'wrapped-module.pth', 'wrapped.pth'])('%s', async (name) => {
    expectState(await readStateDict(fixture(name)))
  })

  test('every dtype of the engine', async () => {
    const file = `${await temporaryFolder()}/engine.safetensors`
    const made = Object.fromEntries(
      engineDtypes.map(([name, { dtype, shape, values }]) => {
        const asFloat = tensor(values.map(Number), { dtype: 'float64' }).reshape(shape)
        return [
          name,
          dtype === 'int64'
            ? tensor(BigInt64Array.from(values.map((v) => BigInt(String(v)))), { shape, dtype: 'int64' })
            : asFloat.to(dtype as 'float32'),
        ]
      }),
    )
    await writeSafetensors(file, made, { answer: '42' })
    const { tensors, metadata } = await readSafetensors(file)
    expect(metadata).toEqual({ answer: '42' })
    for (const [name, { dtype, shape, values }] of engineDtypes) {
      expect(tensors[name]!.dtype).toBe(dtype)
      expect(tensors[name]!.shape).toEqual(shape)
      if (dtype === 'int64') {
        const bits = new BigInt64Array((await tensors[name]!.bytes()).buffer as ArrayBuffer)
        expect([...bits].map(String)).toEqual(values)
      } else expect(numbers(tensors[name]!.to('float64'))).toEqual(values.map(Number))
    }
  })

  test('a dtype that the engine does not have is named', async () => {
    await expect(readStateDict(fixture('mixed.pth'))).rejects.toThrow(/tensor "int16" has the dtype int16/)
  })

  test('readSafetensors does not take other formats', async () => {
    await expect(readSafetensors(fixture('model.pth'))).rejects.toThrow(/no safetensors file.*readStateDict/)
  })
})

describe('saveWeights', () => {
  test('the values are those at the time of the call', async () => {
    const file = `${await temporaryFolder()}/a.safetensors`
    const model = new nn.Linear(3, 3)
    noGrad(() => model.weight.fill_(1))
    const saving = saveWeights(model, file)
    noGrad(() => model.weight.fill_(2))
    await saving
    const { tensors, metadata } = await readSafetensors(file)
    expect(numbers(tensors.weight!)).toEqual(Array(9).fill(1))
    expect(metadata).toEqual({ format: 'pt' })
  })

  test('.pth is the format of torch.save', async () => {
    const folder = await temporaryFolder()
    const model = new Small()
    await saveWeights(model, `${folder}/model.pth`)
    const file = await openWeightsFile(`${folder}/model.pth`)
    expect(file.format).toBe('pth')
    await file.close()
    const other = new Small()
    await loadWeights(other, `${folder}/model.pth`)
    expect(numbers(other.conv.weight)).toEqual(numbers(model.conv.weight))
    await expect(saveWeights(model, `${folder}/model.onnx`)).rejects.toThrow(
      /\.safetensors, \.pth or \.pt; got/,
    )
    await expect(saveWeights(model, `${folder}/model.pth`, { metadata: { a: 'b' } })).rejects.toThrow(
      /safetensors only/,
    )
  })

  test('a view and a channels-last tensor are written in logical order', async () => {
    const file = `${await temporaryFolder()}/a.safetensors`
    const picture = tensor(
      Float32Array.from({ length: 24 }, (_, i) => i),
      { shape: [1, 2, 3, 4] },
    )
    const conv = noGrad(() => {
      const layer = new nn.Conv2d(2, 2, 1, { bias: false })
      layer.weight.copy_(tensor([1, 0, 0, 1]).reshape([2, 2, 1, 1]))
      return layer.forward(picture)
    })
    await writeSafetensors(file, {
      conv,
      transposed: tensor([
        [1, 2, 3],
        [4, 5, 6],
      ]).t(),
    })
    const { tensors } = await readSafetensors(file)
    expect(numbers(tensors.conv!)).toEqual(Array.from({ length: 24 }, (_, i) => i))
    expect(numbers(tensors.transposed!)).toEqual([1, 4, 2, 5, 3, 6])
  })

  test('a failed save leaves the old file', async () => {
    const folder = await temporaryFolder()
    await writeFile(`${folder}/plain`, 'x')
    await expect(saveWeights(new nn.Linear(1, 1), `${folder}/plain/a.safetensors`)).rejects.toThrow(
      CheckpointError,
    )
    await expect(
      writeSafetensors(`${folder}/a`, { x: ones([1]), y: zeros([1]) }, { n: 1 as never }),
    ).rejects.toThrow(/metadata "n"/)
  })
})
