import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { CheckpointError } from '../../src/engine/errors.ts'
import { manualSeed, randn, tensor } from '../../src/engine/index.ts'
import {
  loadWeights,
  loadWeightsSync,
  readStateDict,
  saveWeights,
  writeSafetensors,
} from '../../src/io/index.ts'
import * as nn from '../../src/nn/index.ts'
import { temporaryFolder } from './temporaryFolder.ts'

/** A model's weights in two files and their index, as Hugging Face's libraries write them. */
async function sharded() {
  manualSeed(4)
  const folder = await temporaryFolder()
  const model = new nn.Sequential(new nn.Linear(3, 4), new nn.BatchNorm1d(4))
  const state = Object.entries(model.stateDict())
  const map: Record<string, string> = {}
  for (const [index, part] of [state.slice(0, 3), state.slice(3)].entries()) {
    const name = `model-0000${index + 1}-of-00002.safetensors`
    await writeSafetensors(`${folder}/${name}`, Object.fromEntries(part))
    for (const [tensor] of part) map[tensor] = name
  }
  const index = `${folder}/model.safetensors.index.json`
  const write = (content: unknown) =>
    writeFile(index, typeof content === 'string' ? content : JSON.stringify(content, null, 2))
  await write({ metadata: { total_size: 100 }, weight_map: map })
  return { folder, model, index, map, write }
}

const fresh = () => new nn.Sequential(new nn.Linear(3, 4), new nn.BatchNorm1d(4))
const values = (model: nn.Module) => Object.values(model.stateDict()).map((value) => value.toArray())

describe('safetensors in several files', () => {
  test('load as one, at once or not', async () => {
    const { model, index } = await sharded()
    const [a, b] = [fresh(), fresh()]
    await loadWeights(a, index)
    loadWeightsSync(b, index)
    expect(values(a)).toEqual(values(model))
    expect(values(b)).toEqual(values(model))
    expect(Object.keys(await readStateDict(index))).toEqual(Object.keys(model.stateDict()))
  })

  test('names that are missing are all told, as for one file', async () => {
    const { index, map, write } = await sharded()
    const { '0.weight': _, '1.bias': __, ...rest } = map
    await write({ weight_map: rest })
    await expect(loadWeights(fresh(), index)).rejects.toThrow(
      /missing from the file \(2\): 0\.weight, 1\.bias/,
    )
  })

  test.each([
    ['no JSON', '{ "weight_map": ', /begins as JSON does, but is none/],
    ['JSON of another kind', { tensors: [] }, /without the "weight_map"/],
    ['a file elsewhere', { weight_map: { a: '../../secret.safetensors' } }, /files beside it only/],
    ['no safetensors', { weight_map: { a: 'model.bin' } }, /files beside it only/],
    ['a number', { weight_map: { a: 3 } }, /said to be in 3/],
    ['a file that is not there', { weight_map: { a: 'x.safetensors' } }, /x\.safetensors does not exist/],
    [
      'a tensor that is not there',
      { weight_map: { a: 'model-00001-of-00002.safetensors' } },
      /they lack "a" in model-00001/,
    ],
  ])('an index with %s is refused', async (_, content, message) => {
    const { index, write } = await sharded()
    await write(content)
    await expect(loadWeights(fresh(), index)).rejects.toThrow(CheckpointError)
    await expect(loadWeights(fresh(), index)).rejects.toThrow(message)
    expect(() => loadWeightsSync(fresh(), index)).toThrow(message)
  })

  test('a shard that was cut short is found out before anything is changed', async () => {
    const { folder, index, model } = await sharded()
    await writeFile(`${folder}/model-00002-of-00002.safetensors`, 'short')
    const target = fresh()
    const before = values(target)
    await expect(loadWeights(target, index)).rejects.toThrow(/model-00002-of-00002\.safetensors/)
    expect(values(target)).toEqual(before)
    expect(values(target)).not.toEqual(values(model))
  })
})

test("the older spelling of torchvision's DenseNet files", async () => {
  const layer = () => new nn.Sequential({ norm1: new nn.BatchNorm2d(2), conv1: new nn.Conv2d(2, 3, 1) })
  const net = () => new nn.Sequential({ denselayer1: layer(), denselayer12: layer() })
  const [from, to] = [net(), net()]
  const file = `${await temporaryFolder()}/densenet.safetensors`
  const old = Object.entries(from.stateDict()).map(
    ([name, value]) => [name.replace(/\.(norm|conv)1\./, '.$1.1.'), value] as const,
  )
  expect(old[0]![0]).toBe('denselayer1.norm.1.weight')
  await writeSafetensors(file, Object.fromEntries(old))
  await loadWeights(to, file)
  expect(values(to)).toEqual(values(from))
  // Elsewhere such names are what they are.
  const plain = new nn.Sequential({ norm1: new nn.BatchNorm2d(2) })
  await writeSafetensors(file, { 'norm.1.weight': tensor([1, 1]), x: randn([2]) })
  await expect(loadWeights(plain, file)).rejects.toThrow(/not in the model \(2\): norm\.1\.weight, x/)
  await saveWeights(plain, file)
})
