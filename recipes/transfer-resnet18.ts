// Transfer learning: a ResNet18 that has seen many pictures learns to tell yours apart.
//
// The usual way in two stages: the pretrained body stays frozen while a new head learns from what it already sees; then
// everything is trained, the early layers, which know edges and textures, more gently than the head.

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { SaveModelCallback } from '../callbacks/index.ts'
import {
  DataError,
  ImageDataBunch,
  imagenetStats,
  manualSeed,
  metrics,
  models,
  plotClassActivations,
  setDefaultDevice,
  slice,
  transforms as T,
  visionLearner,
} from '../src/index.ts'
import { integer, readOptions, text, toggle } from './lib/options.ts'
import { outputFolder } from './lib/outputFolder.ts'
import { Throughput } from './lib/Throughput.ts'

const options = readOptions(
  `
Trains a ResNet18 on a folder of pictures: DIR/train/<class>/*.jpg and DIR/val/<class>/*.jpg (or DIR/valid).
Writes history.csv, lr-find.png, losses.png, confusion.png, top-losses.png, class-activations.png and best.safetensors.

  npx tsx recipes/transfer-resnet18.ts --data DIR --out DIR [options]`,
  {
    data: text('DIR', 'folder of the pictures'),
    out: text('DIR', 'folder for what is written'),
    weights: text(
      'FILE',
      'trained ResNet18 weights (.pth or .safetensors), or none to start from random ones',
      'none',
    ),
    size: integer('side of the pictures in pixels', 224, 32),
    batchSize: integer('pictures a step', 16, 2),
    headEpochs: integer('epochs of stage 1, the head alone', 3),
    epochs: integer('epochs of stage 2, the whole network', 3),
    seed: integer('same seed, same numbers', 42, 0),
    device: text('NAME', 'cpu, cuda, or auto: cuda where there is one', 'auto'),
    json: toggle('print the result as JSON on the last line'),
  },
)
const started = performance.now()
const out = await outputFolder(options.out)
manualSeed(options.seed)
setDefaultDevice(options.device)

// Data: random crops and mirroring for training, the middle of the picture for validation.

const valid = ['val', 'valid'].find((name) => existsSync(join(options.data, name)))
if (existsSync(options.data) && !valid) {
  throw new DataError(
    `${resolve(options.data)} has no folder val (or valid) beside train; validation pictures go there`,
  )
}
const data = await ImageDataBunch.fromFolder(options.data, {
  train: 'train',
  valid: valid ?? 'val',
  size: options.size,
  batchSize: options.batchSize,
  transforms: {
    train: [T.randomResizedCrop(options.size, { scale: [0.5, 1] }), T.randomHorizontalFlip()],
    valid: [T.resize(Math.round(options.size * 1.14)), T.centerCrop(options.size)],
  },
  stats: imagenetStats,
  seed: options.seed,
})
console.log(
  `${data.trainDs.length} pictures to train on, ${data.validDs?.length} to validate, ${data.c} classes: ${data.classes?.join(', ')}`,
)

// Model: the body of a ResNet18 with a new head for our classes, the body frozen if it knows something already.

const pretrained = options.weights !== 'none'
const throughput = new Throughput()
const learner = await visionLearner(data, models.resnet18, {
  pretrained,
  ...(pretrained && { weights: options.weights }),
  // A few hundred pictures are too few for a hidden layer in the head.
  linearFeatures: [],
  dropout: 0.1,
  metrics: [metrics.accuracy],
  callbacks: [throughput],
  path: out,
})

// Train. Both stages keep the best model by accuracy in one file.

const found = await learner.lrFind()
await learner.recorder.plot().save(join(out, 'lr-find.png'))
const rate = found.suggestions.valley ?? 3e-3
console.log(`The learning-rate finder suggests ${rate.toExponential(1)}`)

const best = join(out, 'best')
const stage1 = new SaveModelCallback({ monitor: 'accuracy', name: best })
console.log(
  pretrained
    ? '\nStage 1: the head, the body frozen'
    : '\nStage 1: the whole network, since random weights are not worth freezing',
)
await learner.fitOneCycle(options.headEpochs, { maxLr: rate, callbacks: [stage1] })

console.log('\nStage 2: the whole network, early layers more gently')
learner.unfreeze()
const stage2 = new SaveModelCallback({ monitor: 'accuracy', name: best, best: stage1.best })
await learner.fitOneCycle(options.epochs, { maxLr: slice(rate / 4, rate / 2), callbacks: [stage2] })
await learner.load(best)

const { loss, accuracy } = await learner.validate()
const seconds = (performance.now() - started) / 1000

// Look: where it is wrong, which pictures surprised it most, and what in them made up its mind.

await learner.recorder.saveHistory(join(out, 'history.csv'))
await learner.recorder.plotLosses().save(join(out, 'losses.png'))
const interpretation = await learner.interpret()
await interpretation.plotConfusionMatrix().save(join(out, 'confusion.png'))
await (await interpretation.plotTopLosses(9, { heatmap: true })).save(join(out, 'top-losses.png'))
await (await plotClassActivations(learner)).save(join(out, 'class-activations.png'))
const [confusion] = interpretation.mostConfused()
if (confusion) {
  const { actual, predicted, count } = confusion
  console.log(`\nMost often confused: ${actual}, taken for ${predicted} (${count} pictures)`)
}

// Test-time augmentation: each picture looked at eight more times, from near and mirrored.

const augmented = await learner.tta()
const ttaAccuracy = metrics.accuracy(augmented.predictions, augmented.targets).item()
const { imagesPerSecond } = throughput
console.log(`
Best model: accuracy ${accuracy!.toFixed(4)}, validation loss ${loss!.toFixed(4)}; ${seconds.toFixed(0)} s, ${imagesPerSecond.toFixed(0)} pictures/s
With test-time augmentation: accuracy ${ttaAccuracy.toFixed(4)}
In ${out}: history.csv, lr-find.png, losses.png, confusion.png, top-losses.png, class-activations.png, best.safetensors`)
if (options.json) {
  console.log(
    JSON.stringify({
      accuracy,
      ttaAccuracy,
      validLoss: loss,
      epochs: options.headEpochs + options.epochs,
      seconds,
      imagesPerSecond,
      device: String(data.device),
    }),
  )
}
