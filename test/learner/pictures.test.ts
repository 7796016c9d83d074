import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { CheckpointCallback } from '../../callbacks/CheckpointCallback.ts'
import {
  DataLoader,
  getTransforms,
  ImageDataBunch,
  imagenetStats,
  TensorDataset,
  type TransformPair,
  transforms,
} from '../../src/data/index.ts'
import { CheckpointError, ConfigError } from '../../src/engine/errors.ts'
import { getRngState, manualSeed, memoryStats, randn, type Tensor, tensor } from '../../src/engine/index.ts'
import { saveWeights } from '../../src/io/index.ts'
import { Learner, loadLearner, metrics, plotClassActivations } from '../../src/learner/index.ts'
import * as nn from '../../src/nn/index.ts'
import { models, visionLearner } from '../../src/vision/index.ts'
import { draw, writePicture } from '../data/pictures.ts'
import { lineLearner, lineModel } from './support.ts'

let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-pictures-'))
  for (const [label, name] of ['ants', 'bees', 'crabs'].entries()) {
    for (let i = 0; i < 5; i++) {
      const picture = draw(40, 36, (x, y) => [
        (x * 9 + 60 * label) % 256,
        (y * 7 + 11 * i) % 256,
        100 * label,
      ])
      for (const part of ['train', 'valid']) await writePicture(join(folder, part, name, `${i}.png`), picture)
    }
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const pictures = (transforms: TransformPair = getTransforms()) =>
  ImageDataBunch.fromFolder(folder, {
    size: 24,
    batchSize: 4,
    stats: imagenetStats,
    transforms,
    seed: 3,
    workers: 2,
  })

async function pictureLearner() {
  manualSeed(4)
  const data = await pictures()
  const model = new nn.Sequential(
    new nn.Conv2d(3, 6, 5, { stride: 2, padding: 1, bias: false }),
    new nn.BatchNorm2d(6),
    new nn.ReLU(),
    new nn.AdaptiveAvgPool2d(4),
    new nn.Flatten(),
    new nn.Dropout(0.1),
    new nn.Linear(96, data.c),
  )
  const learner = new Learner(data, model, { metrics: [metrics.accuracy], silent: true, path: folder })
  await learner.fit(2, { lr: 0.01 })
  return learner
}

/** Masks by their names in a folder, and beside them their pictures, `picture-…`. */
async function writeMasks() {
  const masks = mkdtempSync(join(folder, 'masks-'))
  const names = ['a.png', 'b.png', 'c.png']
  for (const [i, name] of names.entries()) {
    const grey = Uint8Array.from({ length: 24 * 24 }, (_, at) => (at % 24 < 8 * i ? 1 : 0))
    await sharp(grey, { raw: { width: 24, height: 24, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toFile(join(masks, name))
    await writePicture(
      join(masks, `picture-${name}`),
      draw(24, 24, (x, y) => [9 * x, 9 * y, 80 * i]),
    )
  }
  return { masks, names }
}

const values = (value: Tensor) => [...(value.dataSync() as Float32Array)]

describe('pictures under colours', () => {
  const images = (figure: { spec: unknown }) =>
    (figure.spec as { data: { values: { url: string; title: string }[] } }).data.values

  it('top losses and class activations show what the model looked at', async () => {
    const learner = await pictureLearner()
    const interpretation = await learner.interpret()
    const plain = images(await interpretation.plotTopLosses(4))
    const before = memoryStats().tensors
    const heated = images(await interpretation.plotTopLosses(4, { heatmap: true }))
    expect(memoryStats().tensors).toBeLessThanOrEqual(before)
    expect(heated.map(({ title }) => title)).toEqual(plain.map(({ title }) => title))
    for (const [i, { url }] of heated.entries()) expect(url).not.toBe(plain[i]!.url)

    const maps = images(await plotClassActivations(learner))
    expect(maps).toHaveLength(9)
    expect(maps[0]!.title).toMatch(/^(ants|bees|crabs) [01]\.\d\d$/)
    const file = join(folder, 'valid', 'bees', '2.png')
    expect(images(await plotClassActivations(learner, { items: [file], classes: [1] }))[0]!.title).toMatch(
      /^bees/,
    )
    await expect(plotClassActivations(learner, { items: [file], indices: [1] })).rejects.toThrow(
      /exclude each other/,
    )
    await expect(plotClassActivations(lineLearner())).rejects.toThrow(
      /draws pictures, and this data has none/,
    )
  })

  it('results of masks stand beside the masks', async () => {
    const { masks, names } = await writeMasks()
    const data = await ImageDataBunch.fromMasks(
      masks,
      names.map((name) => `picture-${name}`),
      names,
      { classes: ['ground', 'left'], batchSize: 2, validIndices: [1], transforms: { train: [], valid: [] } },
    )
    expect((await data.oneBatch()).y.shape).toEqual([2, 24, 24])
    const learner = new Learner(data, new nn.Conv2d(3, 2, 1), { silent: true })
    const results = images(await learner.showResults())
    expect(results.map(({ title }) => title)).toEqual(['mask', expect.stringMatching(/^predicted: \d+ %$/)])
    const alone = async (pictures: string[], validIndices: number[]) => {
      const options = { classes: ['ground', 'left'], batchSize: 1, validIndices, onError: 'skip' } as const
      const some = await ImageDataBunch.fromMasks(masks, pictures, names, options)
      return images(await new Learner(some, learner.model, { silent: true }).showResults())
    }
    writeFileSync(join(masks, 'broken.png'), 'no picture')
    const warned = vi.spyOn(process, 'emitWarning').mockReturnValue()
    const whole = names.map((name) => `picture-${name}`)
    expect(await alone(whole.with(1, 'broken.png'), [1, 2])).toEqual(await alone(whole, [2]))
    warned.mockRestore()
    await expect(
      ImageDataBunch.fromMasks(masks, names, names.slice(1), { classes: ['a', 'b'] }),
    ).rejects.toThrow(/3 files, but 2 masks/)
    await expect(ImageDataBunch.fromMasks(masks, names, names, { classes: ['a'] })).rejects.toThrow(
      ConfigError,
    )
  })
})

describe('tta', () => {
  it('mixes plain and augmented predictions as fastai does, for pictures in the same order', async () => {
    const learner = await pictureLearner()
    const random = getRngState()
    const { predictions, plain, augmented, decoded, targets } = await learner.tta()
    expect(getRngState()).toEqual(random)
    expect(predictions.shape).toEqual([15, 3])
    expect(values(targets)).toEqual(values((await learner.getPredictions()).targets))
    const [mixed, before, mean] = [predictions, plain, augmented].map(values)
    expect(values((await learner.getPredictions()).predictions)).toEqual(before)
    expect(mixed).toEqual(before!.map((value, i) => expect.closeTo(0.4 * value + 0.6 * mean![i]!, 6)))
    expect(mean).not.toEqual(before)
    const rows = predictions.toArray() as number[][]
    expect(decoded.toArray()).toEqual(rows.map((row) => row.indexOf(Math.max(...row))))
    const again = await learner.tta({ beta: 1 })
    expect(values(again.augmented)).toEqual(mean) // what is random follows from fixed seeds
    expect(values(again.predictions)).toEqual(before)
  })

  it('tells the loss of each item, of the mixture', async () => {
    const learner = await pictureLearner()
    const { losses, predictions, targets } = await learner.tta({ withLoss: true })
    const rows = predictions.toArray() as number[][]
    const labels = targets.toArray() as number[]
    expect(values(losses!)).toEqual(rows.map((row, i) => expect.closeTo(-Math.log(row[labels[i]!]!), 5)))
    const plain = await learner.getPredictions({ withLoss: true })
    const alone = await learner.tta({ withLoss: true, beta: 1 })
    expect(values(alone.losses!)).toEqual(values(plain.losses!).map((loss) => expect.closeTo(loss, 5)))

    const line = lineLearner()
    const loaders = [line.data.validDl!]
    const squares = await line.tta({ loaders, withLoss: true })
    const direct = await line.getPredictions({ withLoss: true })
    expect(values(squares.losses!)).toEqual(values(direct.losses!).map((loss) => expect.closeTo(loss, 6)))
    class Ranked extends nn.MSELoss {
      override activation(output: Tensor) {
        return output.mul(0.5)
      }
    }
    line.lossFunction = new Ranked()
    await expect(line.tta({ loaders, withLoss: true })).rejects.toThrow(/activation can be undone/)
    line.lossFunction = (output, target) => output.sub(target).square().mean()
    await expect(line.tta({ loaders, withLoss: true })).rejects.toThrow(/need a loss with a reduction/)
  })

  it('looks into the four corners, plain and mirrored', async () => {
    const data = await pictures({ train: [], valid: [] })
    const loaders = data.augmentedLoaders('valid', 2)
    expect(loaders).toHaveLength(8)
    const first = await Promise.all(loaders.map(async (loader) => (await loader.first()).x.index(0)))
    for (const view of first) expect(view.shape).toEqual([3, 24, 24])
    // Green rises from top to bottom.
    const green = first.map((view) => view.index(1).mean().item())
    expect(green[0]).toBeLessThan(green[2]!)
    expect(values(first[4]!.flip(2))).toEqual(values(first[0]!))
    expect(values(first[7]!.flip(2))).toEqual(values(first[3]!))
    expect(new Set(first.map((view) => values(view).join())).size).toBe(8)
  })

  it('does once what training and validation have in common', async () => {
    const table = Uint8Array.from({ length: 256 }, (_, at) => 255 - at)
    const step = (name: string): transforms.PictureTransform => ({
      kind: 'picture',
      name,
      parameters: {},
      apply: (picture) => void picture.lookup(table),
    })
    const inverted = step('invert')
    const first = async (train: transforms.Transform[], valid: transforms.Transform[]) => {
      const [loader] = (await pictures({ train, valid })).augmentedLoaders('valid', 2)
      return values((await loader!.first()).x)
    }
    const expected = await first([], [inverted])
    for (const again of [inverted, step('invert')])
      expect(await first([inverted, transforms.randomHorizontalFlip()], [again])).toEqual(expected)
    expect(await first([step('negative')], [])).toEqual(expected)
  })

  it('refuses masks, whose pixels would not lie where the predictions do', async () => {
    const { masks, names } = await writeMasks()
    const whole = names.map((name) => `picture-${name}`)
    const options = { classes: ['ground', 'left'], batchSize: 2, validIndices: [1] }
    const data = await ImageDataBunch.fromMasks(masks, whole, names, options)
    const learner = new Learner(data, new nn.Conv2d(3, 2, 1), { silent: true })
    await expect(learner.tta()).rejects.toThrow(ConfigError)
    await expect(learner.tta()).rejects.toThrow(/other pixels than their masks.*getPredictions\(\)/)
    const { predictions, plain } = await learner.tta({ loaders: [data.validDl!] })
    expect(values(predictions)).toEqual(values(plain).map((value) => expect.closeTo(value, 6)))
  })

  it('takes loaders of one’s own, for any loss', async () => {
    const learner = lineLearner()
    const { validDl } = learner.data
    const { predictions, decoded } = await learner.tta({ loaders: [validDl!, validDl!], beta: 0.5 })
    const plain = await learner.getPredictions()
    expect(values(predictions)).toEqual(values(plain.predictions))
    expect(values(decoded)).toEqual(values(plain.decoded))
    learner.lossFunction = new nn.BCEWithLogitsLoss()
    const binary = await learner.tta({ loaders: [validDl!] })
    expect(binary.decoded.toArray()).toEqual((await learner.getPredictions()).decoded.toArray())
    await expect(learner.tta()).rejects.toThrow(/cannot augment its items/)
    await expect(learner.tta({ beta: 2 })).rejects.toThrow(/beta must be from 0 to 1/)
    await expect(learner.tta({ loaders: [learner.data.trainDl] })).rejects.toThrow(
      /augmented pass gave predictions \[10, 1\]/,
    )
  })
})

describe('figures of pictures', () => {
  it('show results and top losses', async () => {
    const learner = await pictureLearner()
    const results = JSON.stringify((await learner.showResults({ rows: 2 })).spec)
    expect(results.match(/data:image\/png/g)).toHaveLength(4)
    expect(results).toMatch(/"ants \/ (ants|bees|crabs)"/)
    const interpretation = await learner.interpret()
    const { values: losses } = interpretation.topLosses(5)
    const top = JSON.stringify((await interpretation.plotTopLosses(5)).spec)
    expect(top.match(/data:image\/png/g)).toHaveLength(5)
    const title = `/ ${losses[0]!.toFixed(2)} / ${Math.exp(-losses[0]!).toFixed(2)}`
    expect(top.replaceAll('\\n', ' ').includes(title)).toBe(true)
    await expect(lineLearner().showResults()).rejects.toThrow(/draws pictures, and this data has none/)
    await expect(learner.showResults({ row: 2 } as object)).rejects.toThrow(/unknown option row/)
  })
})

describe('pictures that cannot be read, left out', () => {
  const images = (figure: { spec: unknown }) =>
    (figure.spec as { data: { values: { url: string; title: string }[] } }).data.values

  /** The learner's data with two broken files among those for validation; `repair` takes them away. */
  async function withBroken() {
    const copy = mkdtempSync(join(tmpdir(), 'anneal-broken-'))
    onTestFinished(() => rmSync(copy, { recursive: true, force: true }))
    cpSync(folder, copy, { recursive: true })
    const broken = ['ants/!.png', 'bees/2.png'].map((name) => join(copy, 'valid', name))
    for (const file of broken) writeFileSync(file, 'no picture')
    const make = (onError: 'skip' | 'throw') =>
      ImageDataBunch.fromFolder(copy, { size: 24, batchSize: 4, stats: imagenetStats, seed: 3, onError })
    const data = await make('skip')
    manualSeed(4)
    const model = new nn.Sequential(
      new nn.Conv2d(3, 6, 5, { stride: 2 }),
      new nn.ReLU(),
      new nn.AdaptiveAvgPool2d(4),
      new nn.Flatten(),
      new nn.Linear(96, data.c),
    )
    const learner = new Learner(data, model, { metrics: [metrics.accuracy], silent: true, path: copy })
    const repair = async () => {
      for (const file of broken) rmSync(file)
      return new Learner(await make('throw'), model, { silent: true, path: copy })
    }
    return { learner, repair, data, copy }
  }

  it('have no predictions, which tell which items they are; figures are those without the broken files', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const { learner, repair, data } = await withBroken()
    const { predictions, targets, indices } = await learner.getPredictions()
    // Of 16 files: !.png stands before 0.png in ants, 2.png is the third of bees.
    expect(indices).toEqual([1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15])
    expect(predictions.shape).toEqual([14, 3])
    const folderOf = (index: number) => /(\w+)\/\d+\.png/.exec(data.validDs!.describe!(index))![1]
    expect(indices.map(folderOf)).toEqual(Array.from(values(targets), (label) => data.classes[Number(label)]))
    expect((await learner.getPredictions({ items: 5 })).indices).toEqual([1, 2, 3, 4, 5])
    expect((await learner.tta()).indices).toEqual(indices)

    const interpretation = await learner.interpret()
    const { indices: top, values: losses } = interpretation.topLosses()
    expect([...top].sort((a, b) => a - b)).toEqual(indices)
    for (const [rank, index] of top.entries()) {
      const row = interpretation.indices.indexOf(index)
      expect(interpretation.losses[row]).toBe(losses[rank])
      expect(data.classes[interpretation.actual[row]!]).toBe(folderOf(index))
    }
    const draw = async (drawn: Learner) => {
      const found = await drawn.interpret()
      return [
        images(await found.plotTopLosses(14, { heatmap: true })),
        images(await drawn.showResults({ rows: 4 })),
      ]
    }
    const drawn = await draw(learner)
    expect(images(await plotClassActivations(learner, { indices: [1, 0, 8], classes: [2, 1, 0] }))).toEqual([
      expect.objectContaining({ title: expect.stringMatching(/^crabs/) }),
    ])
    expect(drawn).toEqual(await draw(await repair()))
    warned.mockRestore()
  })

  it('that break after they were predicted are left out of figures, with their titles', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const { learner, data } = await withBroken()
    const interpretation = await learner.interpret()
    const before = images(await interpretation.plotTopLosses(4, { heatmap: true }))
    writeFileSync(data.validDs!.describe!(interpretation.topLosses().indices[1]!), 'no picture any more')
    const after = images(await interpretation.plotTopLosses(4, { heatmap: true }))
    expect(after.map(({ title, url }) => [title, url])).toEqual(
      before.filter((_, rank) => rank !== 1).map(({ title, url }) => [title, url]),
    )
    warned.mockRestore()
  })
})

describe('export and loadLearner', () => {
  it('predict alike without the data', async () => {
    const learner = await pictureLearner()
    const bee = join(folder, 'valid', 'bees', '2.png')
    const file = await learner.export(join(folder, 'bees'))
    expect(file).toBe(join(folder, 'bees.safetensors'))
    const random = getRngState()
    const loaded = await loadLearner(join(folder, 'bees'))
    expect(getRngState()).toEqual(random)
    expect(await loaded.predict(bee)).toEqual(await learner.predict(bee))
    expect(loaded.data.classes).toEqual(['ants', 'bees', 'crabs'])
    expect(String(loaded.model)).toBe(String(learner.model))
    expect(loaded.model.training).toBe(false)
    await expect(loaded.fit(1)).rejects.toThrow(/training data gives no batch/)
    await expect(loaded.validate()).rejects.toThrow(/no validation data/)
    // With data it trains on.
    const training = await loadLearner(file, { data: learner.data })
    expect(await training.validate()).toMatchObject({ loss: (await learner.validate()).loss })
  })

  it('refuse data of other classes, which would be called what they are not', async () => {
    const { data } = lineLearner()
    const of = (classes?: string[]) => ({ trainDl: data.trainDl, ...(classes && { classes }) })
    const exported = (classes?: string[]) =>
      new Learner(of(classes), new nn.Linear(1, classes?.length ?? 1), {
        lossFunction: new nn.CrossEntropyLoss(),
      }).export(join(folder, 'classes'))
    const file = await exported(['ant', 'bee', 'crab'])
    await loadLearner(file, { data: of(['ant', 'bee', 'crab']) })
    await loadLearner(file, { data: of() })
    await expect(loadLearner(file, { data: of(['ant', 'crab', 'bee']) })).rejects.toThrow(
      /the same classes in another order, from class 1 on: 3 \["ant", "bee", "crab"\] in the file, 3 \["ant", "crab", "bee"\] in the data/,
    )
    await expect(loadLearner(file, { data: of(['ant', 'bee']) })).rejects.toThrow(
      /other classes, from class 2 on: .* in the file, 2 \["ant", "bee"\] in the data/,
    )
    await expect(loadLearner(file, { data: of(['ant', 'bee', 'bee']) })).rejects.toThrow(/other classes/)
    const many = Array.from({ length: 100 }, (_, i) => `c${i}`)
    const large = await exported(many)
    await expect(loadLearner(large, { data: of(many.with(50, 'x')) })).rejects.toThrow(
      /from class 50 on: 100 \[…, "c48", "c49", "c50", .*"c57", …\] in the file, 100 \[…, "c48", "c49", "x"/,
    )
    await loadLearner(await exported(), { data: of(['ant']) })
  })

  it('no kind of file is loaded for data of other classes', async () => {
    const { data } = lineLearner()
    const of = (classes?: string[]) => {
      const y = tensor(Array(10).fill(0), { dtype: 'int64' })
      const trainDl = new DataLoader(new TensorDataset(randn([10, 1]), y), { batchSize: 5 })
      return new Learner(
        { ...data, trainDl, validDl: null, ...(classes && { classes }) },
        new nn.Linear(1, 2),
        {
          lossFunction: new nn.CrossEntropyLoss(),
          path: folder,
          silent: true,
        },
      )
    }
    const trained = of(['ant', 'bee'])
    await trained.fit(1, { callbacks: [new CheckpointCallback({ name: 'checkpoint' })] })
    const files = [await trained.save('saved'), join(folder, 'models/checkpoint.safetensors')]
    files.push(await trained.export(join(folder, 'exported')))
    for (const file of files) {
      const other = of(['bee', 'ant'])
      const before = (other.model as unknown as nn.Linear).weight.toArray()
      await expect(other.load(file)).rejects.toThrow(
        /the same classes in another order, from class 0 on: 2 \["ant", "bee"\] in the file, 2 \["bee", "ant"\] in the data.*strict: false/,
      )
      await expect(of(['ant', 'bug']).load(file)).rejects.toThrow(/other classes, from class 1 on/)
      expect((other.model as unknown as nn.Linear).weight.toArray()).toEqual(before)
      // As before: the same classes, data that do not tell, and who does not ask.
      await of(['ant', 'bee']).load(file)
      await of().load(file)
      await other.load(file, { strict: false })
      expect((other.model as unknown as nn.Linear).weight.toArray()).not.toEqual(before)
    }
    await of().save('untold')
    await of(['bee', 'ant']).load('untold')
  })

  it('rebuild architectures of the library and their heads', async () => {
    const weights = join(folder, 'resnet18.safetensors')
    manualSeed(1)
    await saveWeights(models.resnet18({ numClasses: 7 }), weights)
    const learner = await visionLearner(await pictures(), models.resnet18, {
      weights,
      silent: true,
      path: folder,
    })
    const bee = join(folder, 'valid', 'bees', '2.png')
    const loaded = await loadLearner(await learner.export(join(folder, 'resnet')))
    expect(await loaded.predict(bee)).toEqual(await learner.predict(bee))
  })

  it('keep the loss with its options, and ask for what is code of one’s own', async () => {
    class Own extends nn.Module {
      readonly inner = lineModel()
      override forward(x: Tensor) {
        return this.inner.forward(x)
      }
    }
    class OwnLoss extends nn.MSELoss {}
    const { data } = lineLearner()
    const weight = tensor([0.5, 2])
    const plain = new Learner(data, new nn.Linear(1, 2), {
      lossFunction: new nn.CrossEntropyLoss({ weight, labelSmoothing: 0.2 }),
    })
    const loaded = await loadLearner(await plain.export(join(folder, 'plain')))
    const loss = loaded.lossFunction as nn.CrossEntropyLoss
    expect([loss.labelSmoothing, loss.weight?.toArray()]).toEqual([0.2, [0.5, 2]])
    expect((await loaded.predict(tensor([1]))).predictions).toEqual(
      (await plain.predict(tensor([1]))).predictions,
    )

    const own = new Learner(data, new Own(), { lossFunction: new OwnLoss() })
    const file = await own.export(join(folder, 'own'))
    await expect(loadLearner(file)).rejects.toThrow(
      /weights of a Own, which is code of your own: loadLearner\(path, \{ model: new Own/,
    )
    await expect(loadLearner(file, { model: new Own() })).rejects.toThrow(
      /with the loss OwnLoss.*lossFunction/,
    )
    const back = await loadLearner(file, { model: new Own(), lossFunction: new OwnLoss() })
    expect((await back.predict(tensor([2]))).decoded).toEqual([2])
    await expect(
      loadLearner(file, { model: new nn.Linear(3, 3), lossFunction: new OwnLoss() }),
    ).rejects.toThrow(CheckpointError)
  })

  it('notice a model that was changed after it was made', async () => {
    const model = models.resnet18({ numClasses: 5 })
    model.fc = new nn.Linear(512, 3)
    const learner = new Learner(await pictures(), model, { path: folder })
    const file = await learner.export(join(folder, 'changed'))
    await expect(loadLearner(file)).rejects.toThrow(ConfigError)
    await loadLearner(file, { model: Object.assign(models.resnet18(), { fc: new nn.Linear(512, 3) }) })
  })

  it('refuse files that are no exported Learner', async () => {
    const learner = lineLearner({ path: folder })
    const saved = await learner.save('weights')
    await expect(loadLearner(saved)).rejects.toThrow(/is no exported Learner/)
    await expect(loadLearner(join(folder, 'nothing'))).rejects.toThrow(CheckpointError)
    await expect(loadLearner(saved, { modle: 1 } as object)).rejects.toThrow(/unknown option modle/)
    await expect(learner.export('')).rejects.toThrow(ConfigError)
    await expect(learner.export(join(saved, 'x'))).rejects.toThrow(CheckpointError)
  })
})
