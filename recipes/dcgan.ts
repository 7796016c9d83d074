// DCGAN (Radford, Metz and Chintala, 2016): a generator learns to make pictures out of noise, by a discriminator that learns
// to tell them from real ones. Step for step what PyTorch's tutorial does, with the same numbers from the same seed.

import { join } from 'node:path'
import { CheckpointCallback, type DCGANTrainer, GANDivergenceError, GANMeasure } from '../callbacks/index.ts'
import { GANLearner, GanDataBunch, Learner, manualSeed, saveWeights, setDefaultDevice } from '../src/index.ts'
import { integer, readOptions, text, toggle } from './lib/options.ts'
import { outputFolder } from './lib/outputFolder.ts'
import { ProgressPictures } from './lib/ProgressPictures.ts'
import { pictureFeatures } from './lib/pictureFeatures.ts'
import { Throughput } from './lib/Throughput.ts'

const options = readOptions(
  `
Trains a DCGAN on all pictures below a folder, whatever their classes.
Writes progress/step-*.png, progress.webp, real.png, fakes.png, losses.png, history.csv, generator.safetensors, and last.safetensors,
from which --resume goes on.

  npx tsx recipes/dcgan.ts --data DIR --out DIR [options]`,
  {
    data: text('DIR', 'folder of the pictures'),
    out: text('DIR', 'folder for what is written'),
    size: integer('side of the pictures in pixels: 4 times a power of two', 64, 8),
    batchSize: integer('pictures a step', 128, 2),
    epochs: integer('passes over the pictures', 5),
    latent: integer('numbers of noise that a picture is made of', 100),
    features: integer('channels of the layers next to the pictures', 64),
    every: integer('steps between two progress pictures', 100),
    measure: text(
      'FILE',
      'ResNet18 weights by whose features the distance to the real pictures is measured after each epoch, or none',
      'none',
    ),
    seed: integer('same seed, same numbers', 42, 0),
    device: text('NAME', 'cpu, cuda, or auto: cuda where there is one', 'auto'),
    resume: toggle('go on from last.safetensors in --out'),
    json: toggle('print the result as JSON on the last line'),
  },
)
const started = performance.now()
const out = await outputFolder(options.out)
manualSeed(options.seed)
setDefaultDevice(options.device)

// Data: pictures in [-1, 1], the range of tanh.

const { size, batchSize, latent, features, seed } = options
const data = await GanDataBunch.fromFolder(options.data, {
  size,
  batchSize,
  noise: latent,
  seed,
  cache: 'memory',
})
await (await data.showBatch({ rows: 8 })).save(join(out, 'real.png'))
console.log(`${data.trainDs.length} pictures, ${data.trainDl.length} steps an epoch`)

// Model.

const throughput = new Throughput()
const gan = GANLearner.dcgan(data, {
  latent,
  features,
  lr: 2e-4,
  beta1: 0.5,
  path: out,
  callbacks: [throughput],
})
const { fixedNoise } = gan.trainer as DCGANTrainer
const pictures = new ProgressPictures({
  folder: join(out, 'progress'),
  every: options.every,
  noise: fixedNoise!,
})
const last = join(out, 'last')
gan.callbacks.push(pictures, new CheckpointCallback({ every: options.every, name: last }))
if (options.measure !== 'none') {
  const network = await pictureFeatures(options.measure)
  gan.callbacks.push(new GANMeasure({ network, measures: ['frechetDistance', 'precision', 'recall'] }))
}

// Train.

const generator = join(out, 'generator.safetensors')
if (options.resume) await Learner.resume(last, gan)
try {
  await gan.fit(options.epochs)
} catch (error) {
  // The best generator so far is back in the model.
  if (error instanceof GANDivergenceError) await saveWeights(gan.model.generator, generator)
  throw error
}

// Look.

await saveWeights(gan.model.generator, generator)
await (await gan.showImages({ rows: 8 })).save(join(out, 'fakes.png'))
await gan.recorder.plotLosses().save(join(out, 'losses.png'))
await gan.recorder.saveHistory(join(out, 'history.csv'))
const frames = await pictures.animate(join(out, 'progress.webp'))

const { values } = gan.recorder.epochs.at(-1)!
const distances = gan.recorder.epochs.flatMap(({ values }) => values.frechetDistance ?? [])
const seconds = (performance.now() - started) / 1000
const { imagesPerSecond } = throughput
console.log(`
Losses of generator and discriminator ${values.genLoss?.toFixed(3)}, ${values.criticLoss?.toFixed(3)}; D(x) ${gan.recorder.realScores.at(-1)!.toFixed(2)}, D(G(z)) ${gan.recorder.fakeScoresBefore.at(-1)!.toFixed(2)} / ${gan.recorder.fakeScoresAfter.at(-1)!.toFixed(2)}
${seconds.toFixed(0)} s, ${imagesPerSecond.toFixed(0)} pictures/s
In ${out}: fakes.png, real.png, losses.png, progress.webp (${frames} frames), history.csv, generator.safetensors, last.safetensors`)
if (options.json) {
  console.log(
    JSON.stringify({
      genLoss: values.genLoss,
      criticLoss: values.criticLoss,
      frechetDistances: distances,
      epochs: options.epochs,
      steps: gan.recorder.genLosses.length,
      frames,
      seconds,
      imagesPerSecond,
      device: String(data.device),
    }),
  )
}
