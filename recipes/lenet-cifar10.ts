// LeNet on CIFAR-10: the small network of LeCun et al. (1998), written out, on pictures of 32 by 32 pixels.

import { join } from 'node:path'
import { SaveModelCallback } from '../callbacks/index.ts'
import {
  cifarStats,
  F,
  ImageDataBunch,
  Learner,
  manualSeed,
  metrics,
  nn,
  setDefaultDevice,
  type Tensor,
} from '../src/index.ts'
import { integer, readOptions, text, toggle } from './lib/options.ts'
import { outputFolder } from './lib/outputFolder.ts'
import { Throughput } from './lib/Throughput.ts'

const options = readOptions(
  `
Trains LeNet on CIFAR-10 as pictures: DIR/train/<class>/*.jpg and DIR/test/<class>/*.jpg.
Writes history.csv, lr-find.png, losses.png, confusion.png and best.safetensors.

  npx tsx recipes/lenet-cifar10.ts --data DIR --out DIR [options]`,
  {
    data: text('DIR', 'folder of the pictures'),
    out: text('DIR', 'folder for what is written'),
    batchSize: integer('pictures a step', 64),
    epochs: integer('passes over the training pictures', 2),
    seed: integer('same seed, same numbers', 42, 0),
    device: text('NAME', 'cpu, cuda, or auto: cuda where there is one', 'auto'),
    json: toggle('print the result as JSON on the last line'),
  },
)
const started = performance.now()
const out = await outputFolder(options.out)
manualSeed(options.seed)
setDefaultDevice(options.device)

// Data. The test pictures serve for validation: nothing is chosen by them.

const data = await ImageDataBunch.fromFolder(options.data, {
  train: 'train',
  valid: 'test',
  size: 32,
  batchSize: options.batchSize,
  validBatchSize: 256,
  // No mirroring: in two epochs a network this small is far from knowing the pictures by heart.
  transforms: { train: [], valid: [] },
  stats: cifarStats,
  seed: options.seed,
})
console.log(
  `${data.trainDs.length} pictures to train on, ${data.validDs?.length} to test, ${data.c} classes: ${data.classes?.join(', ')}`,
)

// Model.

class LeNet extends nn.Module {
  conv1 = new nn.Conv2d(3, 6, 5)
  conv2 = new nn.Conv2d(6, 16, 5)
  head: nn.Sequential

  constructor(classes: number) {
    super()
    this.head = new nn.Sequential(
      new nn.Linear(16 * 5 * 5, 120),
      new nn.ReLU(),
      new nn.Linear(120, 84),
      new nn.ReLU(),
      new nn.Linear(84, classes),
    )
  }

  override forward(x: Tensor): Tensor {
    x = F.maxPool2d(F.relu(this.conv1.forward(x)), 2)
    x = F.maxPool2d(F.relu(this.conv2.forward(x)), 2)
    return this.head.forward(x.flatten(1))
  }
}

const throughput = new Throughput()
const learner = new Learner(data, new LeNet(data.c!), {
  metrics: [metrics.accuracy],
  callbacks: [throughput],
  path: out,
})

// Train.

const found = await learner.lrFind()
await learner.recorder.plot().save(join(out, 'lr-find.png'))
// The valley is a rate for long training; a network this small bears twice as much, and two epochs have no time for less.
const rate = 2 * (found.suggestions.valley ?? 1.5e-3)
console.log(`From the learning-rate finder: a rate of up to ${rate.toExponential(1)}`)

const best = join(out, 'best')
await learner.fitOneCycle(options.epochs, {
  maxLr: rate,
  callbacks: [new SaveModelCallback({ monitor: 'accuracy', name: best })],
})

// Look.

await learner.recorder.saveHistory(join(out, 'history.csv'))
await learner.recorder.plotLosses().save(join(out, 'losses.png'))
await (await learner.interpret()).plotConfusionMatrix().save(join(out, 'confusion.png'))

const { loss, accuracy } = await learner.validate()
const seconds = (performance.now() - started) / 1000
const { imagesPerSecond } = throughput
console.log(`
Test accuracy ${accuracy!.toFixed(4)}, loss ${loss!.toFixed(4)}; ${seconds.toFixed(0)} s, ${imagesPerSecond.toFixed(0)} pictures/s
In ${out}: history.csv, lr-find.png, losses.png, confusion.png, best.safetensors`)
if (options.json) {
  console.log(
    JSON.stringify({
      accuracy,
      validLoss: loss,
      epochs: options.epochs,
      seconds,
      imagesPerSecond,
      device: String(data.device),
    }),
  )
}
