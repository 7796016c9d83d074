// Segmentation: every pixel gets a class. A U-Net on a ResNet18 learns, from pictures that the recipe draws itself, which pixels
// are ground and which are part of a circle, a cross, a heart, a square, a star or a triangle.

import { join } from 'node:path'
import {
  ImageDataBunch,
  imagenetStats,
  manualSeed,
  metrics,
  models,
  setDefaultDevice,
  slice,
  transforms as T,
  unetLearner,
} from '../src/index.ts'
import { drawScenes, nameOf } from './lib/drawScenes.ts'
import { shapeNames } from './lib/drawShapes.ts'
import { integer, readOptions, text, toggle } from './lib/options.ts'
import { outputFolder } from './lib/outputFolder.ts'

const options = readOptions(
  `
Draws pictures of several shapes with masks, trains a U-Net on a ResNet18 to find their pixels, and shows what it finds.
Writes batch.png, losses.png, results.png and unet.safetensors.

  npx tsx recipes/segmentation.ts --out DIR [options]`,
  {
    out: text('DIR', 'folder for what is written', 'out/segmentation'),
    weights: text('FILE', 'trained ResNet18 weights (.pth or .safetensors) for the body, or none', 'none'),
    size: integer('side of the pictures in pixels', 64, 32),
    count: integer('pictures to draw; a fifth of them is held out', 400, 10),
    batchSize: integer('pictures a step', 8, 2),
    epochs: integer('passes over the training pictures', 8),
    seed: integer('same seed, same pictures and numbers', 42, 0),
    device: text('NAME', 'cpu, cuda, or auto: cuda where there is one', 'auto'),
    json: toggle('print the result as JSON on the last line'),
  },
)
const started = performance.now()
const out = await outputFolder(options.out)
manualSeed(options.seed)
setDefaultDevice(options.device)

// Data: pictures, and masks whose values are classes. What mirrors a picture mirrors its mask.

const { count, size, seed } = options
const folder = join(out, `scenes-${count}-${size}px-seed${seed}`)
console.log(`Drawing ${count} pictures of ${shapeNames.join(', ')}`)
await drawScenes(folder, { count, size, seed })

const names = Array.from({ length: count }, (_, index) => nameOf(index))
const classes = ['ground', ...shapeNames]
const data = await ImageDataBunch.fromMasks(
  folder,
  names.map((name) => `pictures/${name}.jpg`),
  names.map((name) => `masks/${name}.png`),
  {
    classes,
    batchSize: options.batchSize,
    transforms: { train: [T.randomHorizontalFlip()], valid: [] },
    stats: imagenetStats,
    seed,
  },
)
await (await data.showBatch({ rows: 3 })).save(join(out, 'batch.png'))

// Model and training. Most pixels are ground, so accuracy says little; the mean over classes of intersection over union does.

const pretrained = options.weights !== 'none'
const learner = await unetLearner(data, models.resnet18, {
  pretrained,
  ...(pretrained && { weights: options.weights }),
  norm: 'batch',
  bottleneck: true,
  metrics: [metrics.accuracy, metrics.iou],
  path: out,
})
if (pretrained) {
  console.log('\nStage 1: the decoder, the body frozen')
  await learner.fitOneCycle(Math.ceil(options.epochs / 2), { maxLr: 3e-3 })
  learner.unfreeze()
  console.log('\nStage 2: the whole network, the body more gently')
}
await learner.fitOneCycle(options.epochs, { maxLr: pretrained ? slice(1e-4, 1e-3) : 3e-3 })
await learner.save(join(out, 'unet'))

// Look.

await learner.recorder.plotLosses().save(join(out, 'losses.png'))
await (await learner.showResults({ rows: 4 })).save(join(out, 'results.png'))

const { accuracy, iou } = await learner.validate()
const seconds = (performance.now() - started) / 1000
console.log(`
${(100 * accuracy!).toFixed(1)} % of the held-out pixels right, intersection over union ${iou!.toFixed(3)} on average, after ${seconds.toFixed(0)} s.
In ${out}: batch.png, losses.png, results.png, unet.safetensors`)
if (options.json) {
  const device = String(data.device)
  console.log(JSON.stringify({ accuracy, iou, epochs: options.epochs, seconds, device }))
}
