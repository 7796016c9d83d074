// The whole path on pictures that it draws itself: no data, no network. Six shapes, in colours, sizes and positions
// of their own, some noise; a ResNet18 from random weights learns to name them.

import { join } from 'node:path'
import { SaveModelCallback } from '../callbacks/index.ts'
import {
  ImageDataBunch,
  imagenetStats,
  Learner,
  manualSeed,
  metrics,
  models,
  setDefaultDevice,
  transforms as T,
} from '../src/index.ts'
import { drawShapes, shapeNames } from './lib/drawShapes.ts'
import { integer, readOptions, text } from './lib/options.ts'
import { outputFolder } from './lib/outputFolder.ts'

const enough = 0.95
const options = readOptions(
  `
Draws pictures of shapes, trains a ResNet18 to name them, and shows how that went.
Fails if fewer than ${100 * enough} % of the held-out pictures are named rightly.

  npm run demo -- [options]`,
  {
    out: text('DIR', 'folder for what is written', 'out/demo'),
    size: integer('side of the pictures in pixels', 48, 32),
    train: integer('pictures of each shape to train on', 150, 4),
    valid: integer('pictures of each shape held out', 40, 1),
    batchSize: integer('pictures a step', 16, 2),
    epochs: integer('passes over the training pictures', 5),
    seed: integer('same seed, same pictures and numbers', 42, 0),
    device: text('NAME', 'cpu, cuda, or auto: cuda where there is one', 'auto'),
  },
)
const started = performance.now()
const out = await outputFolder(options.out)
manualSeed(options.seed)
setDefaultDevice(options.device)

// Data. The folder's name says what is in it, so that other settings get a folder of their own.

const { size, train, valid, seed } = options
const pictures = join(out, `shapes-${train}-${valid}-${size}px-seed${seed}`)
console.log(
  `Drawing ${train + valid} pictures of each of ${shapeNames.length} shapes: ${shapeNames.join(', ')}`,
)
await drawShapes(pictures, { train, valid, size, seed })

const data = await ImageDataBunch.fromFolder(pictures, {
  train: 'train',
  valid: 'valid',
  size,
  batchSize: options.batchSize,
  transforms: { train: [T.randomHorizontalFlip()], valid: [] },
  stats: imagenetStats,
  seed,
})
await (await data.showBatch({ rows: 4 })).save(join(out, 'batch.png'))

// Model and training: a rate from the finder, one cycle, the best model kept.

const learner = new Learner(data, models.resnet18({ numClasses: data.c }), {
  metrics: [metrics.accuracy],
  path: out,
})
console.log('\nLooking for a learning rate')
const found = await learner.lrFind({ startLr: 1e-5, endLr: 1, numIt: 60 })
await learner.recorder.plot().save(join(out, 'lr-find.png'))
// The valley is a rate for long training, and the steadiest of the suggestions; five epochs from random weights want more.
const rate = 3 * (found.suggestions.valley ?? 6e-4)

console.log(`\nTraining a ResNet18 with a rate of up to ${rate.toExponential(1)}`)
const best = join(out, 'best')
await learner.fitOneCycle(options.epochs, {
  maxLr: rate,
  callbacks: [new SaveModelCallback({ monitor: 'accuracy', name: best })],
})

// Look.

await learner.recorder.plotLosses().save(join(out, 'losses.png'))
await (await learner.interpret()).plotConfusionMatrix().save(join(out, 'confusion.png'))

const { accuracy } = await learner.validate()
const seconds = (performance.now() - started) / 1000
console.log(`
${(100 * accuracy!).toFixed(1)} % of ${data.validDs?.length} held-out pictures named rightly, after ${seconds.toFixed(0)} s.

  ${join(out, 'batch.png')}          some of the pictures
  ${join(out, 'lr-find.png')}        the learning-rate finder
  ${join(out, 'losses.png')}         losses during training
  ${join(out, 'confusion.png')}      which shapes are taken for which
  ${join(out, 'best.safetensors')}   the best model`)
if (!(accuracy! >= enough)) {
  console.error(`\nThat is less than the ${100 * enough} % that this demo is meant to reach.`)
  process.exitCode = 1
}
