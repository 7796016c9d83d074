import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { PbfReader } from 'pbf'
import { describe, expect, test } from 'vitest'
import { fromTable } from '../../src/data/index.ts'
import { ConfigError, ShapeError } from '../../src/engine/errors.ts'
import { manualSeed, noGrad, rand, randint, randn, type Tensor, tensor } from '../../src/engine/index.ts'
import { Learner, loadLearner } from '../../src/learner/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'
import { exportOnnx } from '../../src/onnx/index.ts'
import { tabularLearner } from '../../src/tabular/index.ts'
import {
  basicCritic,
  basicGenerator,
  createBody,
  createHead,
  dcganDiscriminator,
  dcganGenerator,
  models as shipped,
} from '../../src/vision/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { drawPictures } from './pictures.ts'
import { differenceOf, runOnnx } from './runtime.ts'

/** Running statistics as after some training, so that batch norm has something to do. */
function settled<Model extends nn.Module>(model: Model): Model {
  noGrad(() => {
    for (const [name, buffer] of model.namedBuffers()) {
      if (name.endsWith('running_mean')) buffer.copy_(randn(buffer.shape).mul(0.1))
      if (name.endsWith('running_var')) buffer.copy_(rand(buffer.shape).add(0.5))
    }
  })
  return model
}

const architectures = (Object.entries(shipped) as [string, unknown][]).filter(
  (entry): entry is [string, shipped.Architecture] => typeof entry[1] === 'function' && 'cut' in entry[1],
)
// Of a family of one design these stand for all: the others take long, and no other ops.
const others =
  /^(resnet(34|101|152)|wideResnet|resnext101|squeezenet1_0|vgg(1[369]|11$)|densenet(161|169|201)|xresnet(34|50|101|152))/

describe('shipped models: onnxruntime agrees, for a batch of another size than the example', () => {
  test.each(architectures.filter(([name]) => !others.test(name)))('%s', async (_, build) => {
    manualSeed(5)
    const model = settled(build({ numClasses: 7 }))
    expect(await differenceOf(model, [randn([3, 3, 64, 96])], { inputShape: [1, 3, 64, 96] })).toBeLessThan(
      1e-4,
    )
  })

  test('a U-Net with all that it can have', async () => {
    manualSeed(6)
    const body = createBody(shipped.resnet18({ numClasses: 2 }))
    const options = { blur: true, blurFinal: true, selfAttention: true, yRange: [0, 1] as [number, number] }
    const unet = settled(new shipped.DynamicUnet(body, 3, [32, 64], options))
    expect(await differenceOf(unet, [randn([3, 3, 32, 64])])).toBeLessThan(1e-4)
  })

  test('the networks of GANs', async () => {
    manualSeed(7)
    const noise = randn([3, 16, 1, 1])
    const pictures = randn([3, 3, 32, 32])
    const small = { features: 8, size: 32 }
    expect(await differenceOf(settled(dcganGenerator({ ...small, latent: 16 })), [noise])).toBeLessThan(1e-4)
    expect(await differenceOf(settled(dcganDiscriminator(small)), [pictures])).toBeLessThan(1e-4)
    expect(await differenceOf(settled(basicGenerator({ ...small, latent: 16 })), [noise])).toBeLessThan(1e-4)
    expect(await differenceOf(settled(basicCritic(small)), [pictures])).toBeLessThan(1e-4)
  })

  test('the head of visionLearner', async () => {
    const head = settled(createHead(6, 4, { linearFeatures: [8], bnFinal: true }))
    expect(await differenceOf(head, [randn([3, 6, 5, 4])])).toBeLessThan(1e-5)
  })
})

describe("models of one's own", () => {
  class TwoInputs extends nn.Module<[Tensor, Tensor], Tensor[]> {
    embedding = new nn.Embedding(10, 4)
    layer = new nn.Linear(6, 3)
    override forward(words: Tensor, numbers: Tensor): Tensor[] {
      const meaning = this.embedding.forward(words).mean(1)
      return [
        this.layer.forward(
          F.relu(meaning.add(numbers.sum(1, { keepdim: true })))
            .repeat(1, 2)
            .slice(1, 0, 6),
        ),
        meaning,
      ]
    }
  }

  test('several inputs and outputs, of several dtypes, with names', async () => {
    manualSeed(2)
    const inputs = [randint(0, 10, [3, 5]), randn([3, 4])]
    const names = { inputNames: ['words', 'numbers'], outputNames: ['scores', 'meaning'] }
    expect(await differenceOf(new TwoInputs(), inputs, names)).toBeLessThan(1e-5)
    await expect(differenceOf(new TwoInputs(), inputs, { inputNames: ['one'] })).rejects.toThrow(
      /2 inputs, but inputNames are \["one"\]/,
    )
  })

  test('parameters called as inputs, outputs and values in between are', async () => {
    class Named extends nn.Module {
      constructor(...names: string[]) {
        super()
        for (const [index, name] of names.entries()) {
          Object.assign(this, { [name]: new nn.Parameter(tensor([index + 2])) })
        }
      }
      override forward(x: Tensor): Tensor {
        const parameters = this.namedParameters().map(([, parameter]) => parameter)
        return parameters.reduce((value: Tensor, parameter) => value.mul(parameter).add(1).add(x), x)
      }
    }
    const input = [randn([2, 3])]
    expect(await differenceOf(new Named('output', 'input', 'output_0'), input)).toBeLessThan(1e-6)
    expect(await differenceOf(new Named('Add_0_out', 'Mul_0_out', 'constant_0'), input)).toBeLessThan(1e-6)
    expect(await differenceOf(new Named('w'), input, { outputNames: ['Mul_0_out'] })).toBeLessThan(1e-6)
    const same = { inputNames: ['x'], outputNames: ['x'] }
    await expect(differenceOf(new Named('w'), input, same)).rejects.toThrow(
      /different names, but both have x/,
    )
    await expect(differenceOf(new Named('w'), input, { inputNames: ['output'] })).rejects.toThrow(ConfigError)
  })

  test('the modes of its parts are as before', async () => {
    const model = new nn.Sequential(new nn.Linear(3, 3), new nn.Dropout(0.5))
    model.children()[0]!.eval()
    await exportOnnx(model, `${await temporaryFolder()}/m.onnx`, { inputShape: [1, 3] })
    expect(model.modules().map((module) => module.training)).toEqual([true, false, true])
  })

  test('an op without a form is named, with the others of that kind, and nothing is written', async () => {
    class Odd extends nn.Module {
      override forward(x: Tensor): Tensor {
        return F.crossEntropy(x.cumprod(1), x.cumprod(1).argmax(1)).add(x.atan2(x))
      }
    }
    const folder = await temporaryFolder()
    const failed = exportOnnx(new Odd(), `${folder}/m.onnx`, { inputShape: [1, 3] })
    await expect(failed).rejects.toThrow(ConfigError)
    await expect(failed).rejects.toThrow(/no form for cumprod \(2 times\), cross_entropy, atan2/)
    expect(() => readFileSync(`${folder}/m.onnx`)).toThrow(/ENOENT/)
  })

  test('a model that computes otherwise for other batches goes out for one size', async () => {
    class Branching extends nn.Module {
      override forward(x: Tensor): Tensor {
        return x.shape[0]! > 2 ? x.mul(2) : x.add(1)
      }
    }
    const inputs = [randn([5, 2])]
    await expect(differenceOf(new Branching(), inputs)).rejects.toThrow(/dynamicBatch: false/)
    expect(await differenceOf(new Branching(), inputs, { dynamicBatch: false })).toBe(0)
  })

  test('memory that is shared, kept, or changed from within', async () => {
    class Through extends nn.Module {
      count = tensor([0])
      readonly of: (x: Tensor, count: Tensor) => Tensor
      constructor(of: (x: Tensor, count: Tensor) => Tensor) {
        super()
        this.of = of
      }
      override forward(x: Tensor): Tensor {
        return this.of(x, this.count)
      }
    }
    const write = (of: (x: Tensor, count: Tensor) => Tensor) => differenceOf(new Through(of), [randn([2, 3])])
    await expect(write((x, count) => x.add(count.add_(1)))).rejects.toThrow(
      /keep nothing from one call to the next/,
    )
    await expect(
      write((x) => {
        const y = x.mul(2)
        y.slice(1, 0, 1).add_(5)
        return y
      }),
    ).rejects.toThrow(/changed, in place, another that looks at the same memory/)
  })

  test('wrong options', async () => {
    const model = new nn.Linear(3, 3)
    const file = `${await temporaryFolder()}/m.onnx`
    await expect(exportOnnx(model, file)).rejects.toThrow(
      /either inputShape, as \[1, 3, 224, 224\], or inputs/,
    )
    await expect(exportOnnx(model, file, { inputShape: [0, 3] })).rejects.toThrow(ShapeError)
    await expect(exportOnnx(model, file, { inputShape: [1, 4] })).rejects.toThrow(ShapeError)
    await writeFile(`${file}.txt`, '')
    await expect(exportOnnx(model, `${file}.txt/below.onnx`, { inputShape: [1, 3] })).rejects.toThrow(
      /cannot be written/,
    )
    await expect(exportOnnx(model, file, { shape: [1, 3] } as never)).rejects.toThrow(/unknown option shape/)
    await expect(exportOnnx(model.double(), file, { inputs: [randn([1, 3])] })).rejects.toThrow(/dtype/i)
    expect(await differenceOf(model.double(), [randn([2, 3]).double()])).toBeLessThan(1e-6)
  })
})

describe('learner.exportOnnx', () => {
  test('pictures: the shape of the data, probabilities if asked for, class names; also from an exported Learner', async () => {
    const folder = await temporaryFolder()
    const data = await drawPictures(`${folder}/pictures`)
    const learner = new Learner(data, shipped.resnet18({ numClasses: data.c }), {
      silent: true,
      path: folder,
    })
    await learner.fit(1, { lr: 1e-3 })
    const { x } = await data.oneBatch()
    for (const [name, of] of [
      ['trained', learner],
      ['served', await loadLearner(await learner.export(`${folder}/exported`))],
    ] as const) {
      const raw = await of.exportOnnx(`${folder}/${name}.onnx`)
      const probabilities = await of.exportOnnx(`${folder}/${name}-p.onnx`, { activate: true })
      learner.model.eval()
      const output = noGrad(() => learner.model.forward(x))
      const wanted = [output, F.softmax(output, 1)].map((values) => Array.from(values.dataSync()))
      for (const [index, file] of [raw, probabilities].entries()) {
        const [found] = await runOnnx(file, [x])
        expect([...found!.dims]).toEqual([...output.shape])
        for (const [i, value] of Array.from(found!.data, Number).entries())
          expect(Math.abs(value - wanted[index]![i]!)).toBeLessThan(1e-4)
      }
      expect(metadataOf(raw)).toEqual({ 'anneal.classes': '["blue","red"]' })
    }
  })

  test('tables', async () => {
    manualSeed(1)
    const folder = await temporaryFolder()
    const rows = Array.from({ length: 60 }, (_, i) => `${i % 13},${['a', 'b', ''][i % 3]},${i % 7}`)
    await writeFile(`${folder}/t.csv`, `area,zone,price\n${rows.join('\n')}`)
    const data = await fromTable(`${folder}/t.csv`, { target: 'price', batchSize: 8, seed: 1 })
    const learner = tabularLearner(data, { layers: [8], yRange: [0, 9] })
    const file = await learner.exportOnnx(`${folder}/t.onnx`)
    const { x } = await data.oneBatch()
    learner.model.eval()
    const wanted = Array.from(noGrad(() => learner.model.forward(...(x as [Tensor, Tensor]))).dataSync())
    const [found] = await runOnnx(file, x as Tensor[])
    for (const [i, value] of Array.from(found!.data, Number).entries())
      expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-4)
  })
})

/** Field 14 of a ModelProto: pairs of key and value. */
function metadataOf(file: string): Record<string, string> {
  return new PbfReader(readFileSync(file)).readFields<Record<string, string>>((field, result, reader) => {
    if (field !== 14) return
    const [key, value] = reader.readMessage<string[]>((at, pair, inner) => {
      pair[at - 1] = inner.readString()
    }, [])
    result[key!] = value!
  }, {})
}
