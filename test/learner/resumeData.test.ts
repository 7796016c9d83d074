import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CheckpointCallback } from '../../callbacks/index.ts'
import {
  DataBunch,
  type FromTableOptions,
  fromTable,
  ImageDataBunch,
  TensorDataset,
} from '../../src/data/index.ts'
import { CheckpointError } from '../../src/engine/errors.ts'
import { manualSeed, randn, tensor } from '../../src/engine/index.ts'
import { Learner, type LearnerData } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { tabularLearner } from '../../src/tabular/index.ts'
import { draw, writePicture } from '../data/pictures.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { forge } from '../robustness/forge.ts'

const train = (learner: Pick<Learner, 'fit'>) => learner.fit(2, { callbacks: [new CheckpointCallback()] })
const weights = ({ model }: { model: Pick<nn.Module, 'parameters'> }) =>
  model.parameters().map((each) => each.toArray())

describe('a fit on rows of a table', () => {
  const rows = Array.from({ length: 40 }, (_, at) => `${at / 7},${'abc'[at % 3]},${at + 1},${at % 2}`)
  const options = { target: 'y', batchSize: 8, seed: 1, maxCardinality: 2 } as const
  const made = async (folder: string, other: Partial<FromTableOptions> = {}, lines = rows) => {
    const file = join(folder, 'rows.csv')
    writeFileSync(file, `x,zone,y,other\n${lines.join('\n')}\n`)
    const data = await fromTable(file, { ...options, ignore: ['other'], ...other })
    manualSeed(1)
    return tabularLearner(data, { layers: [4], path: folder, silent: true })
  }

  it('goes on with the same rows only', async () => {
    const folder = await temporaryFolder()
    const learner = await made(folder)
    await train(learner)
    const again = await Learner.resume('last', await made(folder))
    await train(again)
    expect(weights(again)).toEqual(weights(learner))

    const split = await made(folder, { seed: 2 })
    const before = weights(split)
    const refused = Learner.resume('last', split)
    await expect(refused).rejects.toThrow(CheckpointError)
    await expect(refused).rejects.toThrow(
      /last\.safetensors was written while training on other data: the training items, .*are others; items become numbers in another way.*a `seed`/,
    )
    expect(weights(split)).toEqual(before)
    await expect(Learner.resume('last', await made(folder, { log: true }))).rejects.toThrow(
      /other data: the training items, their order or their targets are others\. Make/,
    )
    const shifted = rows.map((row, at) => (at === 20 ? row.replace(/^[^,]*/, '100') : row))
    await expect(Learner.resume('last', await made(folder, {}, shifted))).rejects.toThrow(
      /other data: items become numbers in another way[^;]*\. Make/,
    )
  })

  it('goes on from checkpoints that do not tell what they were trained on', async () => {
    const folder = await temporaryFolder()
    const learner = await made(folder)
    await train(learner)
    const file = join(folder, 'models', 'last.safetensors')
    forge(file, ({ fit }) => {
      expect(fit.data).toEqual({ items: expect.any(String), encoding: expect.any(String) })
      delete fit.data
    })
    await Learner.resume(file, await made(folder, { seed: 2 }))
    forge(file, ({ fit }) => {
      fit.data = { items: 3 }
    })
    await expect(Learner.resume(file, await made(folder))).rejects.toThrow(
      /data\.items is 3, and must be text/,
    )
  })
})

it('a fit on pictures goes on with the same pictures only, wherever they are', async () => {
  const folder = await temporaryFolder()
  for (const [label, name] of ['ants', 'bees'].entries()) {
    for (let i = 0; i < 12; i++) {
      const picture = draw(8, 8, (x, y) => [(x * 9 + 40 * label) % 256, (y * 11 + 9 * i) % 256, 90 * label])
      await writePicture(join(folder, 'pictures', name, `${name}-${i}.png`), picture)
    }
  }
  const made = async (seed: number, size = 8, from = 'pictures') => {
    const dir = join(folder, from)
    const data = await ImageDataBunch.fromFolder(dir, {
      valid: undefined,
      validPct: 0.25,
      size,
      batchSize: 6,
      seed,
    })
    manualSeed(1)
    const model = new nn.Sequential(new nn.AdaptiveAvgPool2d(1), new nn.Flatten(), new nn.Linear(3, 2))
    return new Learner(data, model, { path: folder, silent: true })
  }
  await train(await made(1))
  cpSync(join(folder, 'pictures'), join(folder, 'elsewhere'), { recursive: true })
  await train(await Learner.resume('last', await made(1, 8, 'elsewhere')))
  await expect(Learner.resume('last', await made(2))).rejects.toThrow(
    /the training items, .*are others\. Make/,
  )
  await expect(Learner.resume('last', await made(1, 6))).rejects.toThrow(
    /other data: items become numbers in another way[^;]*\. Make/,
  )
})

it('a fit on tensors goes on with the same classes of items only', async () => {
  const folder = await temporaryFolder()
  const made = (labels: readonly number[], classes?: string[]) => {
    manualSeed(1)
    const y = tensor(BigInt64Array.from(labels, BigInt), { shape: [4] })
    const bunch = DataBunch.create(new TensorDataset(randn([4, 3]), y), null, { batchSize: 2 })
    const data: LearnerData = { trainDl: bunch.trainDl, ...(classes && { classes }) }
    return new Learner(data, new nn.Linear(3, 2), {
      ...{ lossFunction: new nn.CrossEntropyLoss(), path: folder, silent: true },
    })
  }
  await train(made([0, 1, 1, 0], ['a', 'b']))
  await train(await Learner.resume('last', made([0, 1, 1, 0], ['a', 'b'])))
  await expect(Learner.resume('last', made([1, 0, 1, 0], ['a', 'b']))).rejects.toThrow(/training items/)
  await expect(Learner.resume('last', made([0, 1, 1, 0], ['b', 'a']))).rejects.toThrow(
    /the classes are others/,
  )
})
