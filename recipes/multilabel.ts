// Several labels a picture: each class is a yes-no question of its own. Sigmoids in the place of a softmax, binary cross entropy, a
// threshold for each label, and F1 for each, since "which are there" is right or wrong label by label.

import { join } from 'node:path'
import {
  ImageDataBunch,
  imagenetStats,
  labelReport,
  manualSeed,
  metrics,
  models,
  setDefaultDevice,
  slice,
  suggestThresholds,
  transforms as T,
  visionLearner,
} from '../src/index.ts'
import { drawScenes } from './lib/drawScenes.ts'
import { integer, readOptions, text, toggle } from './lib/options.ts'
import { outputFolder } from './lib/outputFolder.ts'

const options = readOptions(
  `
Draws pictures of several shapes, trains a ResNet18 to name all shapes in each, and tells how well it knows every one.
Writes batch.png, losses.png, results.png and multilabel.safetensors.

  npx tsx recipes/multilabel.ts --out DIR [options]`,
  {
    out: text('DIR', 'folder for what is written', 'out/multilabel'),
    weights: text('FILE', 'trained ResNet18 weights (.pth or .safetensors), or none', 'none'),
    size: integer('side of the pictures in pixels', 64, 32),
    count: integer('pictures to draw; a fifth of them is held out', 1500, 10),
    batchSize: integer('pictures a step', 16, 2),
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

// Data. labels.csv has lines such as `0003.jpg,circle star`; targets are rows of zeros and ones, and so the data asks for binary
// cross entropy with logits.

const { count, size, seed } = options
const folder = join(out, `scenes-${count}-${size}px-seed${seed}`)
console.log(`Drawing ${count} pictures with up to four shapes each`)
await drawScenes(folder, { count, size, seed })

const data = await ImageDataBunch.fromCsv(folder, {
  folder: 'pictures',
  labelDelimiter: ' ',
  size,
  batchSize: options.batchSize,
  transforms: { train: [T.randomHorizontalFlip()], valid: [] },
  stats: imagenetStats,
  seed,
})
await (await data.showBatch({ rows: 4 })).save(join(out, 'batch.png'))

// Model and training.

const pretrained = options.weights !== 'none'
const learner = await visionLearner(data, models.resnet18, {
  pretrained,
  ...(pretrained && { weights: options.weights }),
  metrics: [metrics.accuracyThreshold(0.5), metrics.f1Score({ average: 'macro' })],
  path: out,
})
if (pretrained) {
  console.log('\nStage 1: the head, the body frozen')
  await learner.fitOneCycle(Math.ceil(options.epochs / 2), { maxLr: 3e-3 })
  learner.unfreeze()
  console.log('\nStage 2: the whole network')
}
await learner.fitOneCycle(options.epochs, { maxLr: pretrained ? slice(1e-4, 1e-3) : 2e-3 })
await learner.save(join(out, 'multilabel'))

// A threshold for each label: the one that serves best on the training pictures. Then what counts: pictures held out.

const seen = await learner.getPredictions({ dataset: 'fix' })
const thresholds = suggestThresholds(seen.predictions, seen.targets)
const { predictions, targets } = await learner.getPredictions()
const plain = labelReport(predictions, targets, { classes: data.classes })
const report = labelReport(predictions, targets, { classes: data.classes, thresholds })

console.log('\nlabel       threshold  precision  recall    F1  F1 at 0.5  pictures')
for (const [i, row] of report.entries()) {
  const { label, threshold, precision, recall, f1, support } = row
  const cells = [threshold, precision, recall, f1, plain[i]!.f1].map((value) => value.toFixed(2))
  const [a, b, c, d, e] = cells as [string, string, string, string, string]
  console.log(
    `${label.padEnd(10)} ${a.padStart(10)} ${b.padStart(10)} ${c.padStart(7)} ${d.padStart(5)} ${e.padStart(10)} ${String(support).padStart(9)}`,
  )
}
const mean = (rows: typeof report) => rows.reduce((sum, { f1 }) => sum + f1, 0) / rows.length

// Look.

await learner.recorder.plotLosses().save(join(out, 'losses.png'))
await (await learner.showResults({ rows: 4 })).save(join(out, 'results.png'))
const seconds = (performance.now() - started) / 1000
console.log(`
F1 ${mean(report).toFixed(3)} on average over the labels (${mean(plain).toFixed(3)} with 0.5 for all), after ${seconds.toFixed(0)} s.
In ${out}: batch.png, losses.png, results.png, multilabel.safetensors`)
if (options.json) {
  const f1 = Object.fromEntries(report.map((row) => [row.label, row.f1]))
  const device = String(data.device)
  console.log(JSON.stringify({ f1, meanF1: mean(report), epochs: options.epochs, seconds, device }))
}
