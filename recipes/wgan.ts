// Wasserstein GAN (Arjovsky et al., 2017) with fastai's basic networks: a critic that gives scores instead of probabilities, trained
// five batches for each of the generator's. A gradient penalty (Gulrajani et al., 2017) keeps it smooth; --penalty 0 clips its
// weights instead, as the first paper did.

import { join } from 'node:path'
import { CheckpointCallback, FixedGANSwitcher, GANDivergenceError, GANMeasure } from '../callbacks/index.ts'
import {
  basicCritic,
  basicGenerator,
  GANLearner,
  GanDataBunch,
  Learner,
  manualSeed,
  randn,
  saveWeights,
  setDefaultDevice,
} from '../src/index.ts'
import { integer, readOptions, text, toggle } from './lib/options.ts'
import { outputFolder } from './lib/outputFolder.ts'
import { ProgressPictures } from './lib/ProgressPictures.ts'
import { pictureFeatures } from './lib/pictureFeatures.ts'
import { Throughput } from './lib/Throughput.ts'

const options = readOptions(
  `
Trains a Wasserstein GAN on all pictures below a folder, whatever their classes.
Writes progress/step-*.png, progress.webp, real.png, fakes.png, losses.png, history.csv, generator.safetensors, and last.safetensors,
from which --resume goes on.

  npx tsx recipes/wgan.ts --data DIR --out DIR [options]`,
  {
    data: text('DIR', 'folder of the pictures'),
    out: text('DIR', 'folder for what is written'),
    size: integer('side of the pictures in pixels: 4 times a power of two', 64, 8),
    batchSize: integer('pictures a step', 64, 2),
    epochs: integer('passes over the pictures', 30),
    latent: integer('numbers of noise that a picture is made of', 100),
    features: integer('channels of the layers next to the pictures', 64, 2),
    extraLayers: integer('layers more at the largest size but the pictures’ own', 1, 0),
    critic: integer('batches of the critic for one of the generator', 5),
    penalty: integer('weight of the gradient penalty; 0 to clip the critic’s weights instead', 10, 0),
    every: integer('steps between two progress pictures', 300),
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

// Data: pictures in [-1, 1], each with noise.

const { size, batchSize, latent, features, extraLayers, seed, penalty } = options
const data = await GanDataBunch.fromFolder(options.data, {
  size,
  batchSize,
  noise: latent,
  seed,
  cache: 'memory',
})
await (await data.showBatch({ rows: 8 })).save(join(out, 'real.png'))
console.log(`${data.trainDs.length} pictures, ${data.trainDl.length} steps an epoch`)

// Model. The penalty is each picture's own, so that its critic must not mix the pictures of a batch.

const generator = basicGenerator(size, 3, { latent, features, extraLayers })
const critic = basicCritic(size, 3, { features, extraLayers, norm: penalty > 0 ? 'layer' : 'batch' })
const noise = randn([64, latent, 1, 1])
const throughput = new Throughput()
const gan = GANLearner.wgan(data, generator, critic, {
  ...(penalty > 0 ? { gradientPenalty: penalty } : { clip: 0.01 }),
  switcher: new FixedGANSwitcher({ nCrit: options.critic, nGen: 1 }),
  path: out,
  callbacks: [throughput],
})
const pictures = new ProgressPictures({ folder: join(out, 'progress'), every: options.every, noise })
const last = join(out, 'last')
gan.callbacks.push(pictures, new CheckpointCallback({ every: options.every, name: last }))
if (options.measure !== 'none') {
  const network = await pictureFeatures(options.measure)
  gan.callbacks.push(new GANMeasure({ network, measures: ['frechetDistance', 'precision', 'recall'] }))
}

// Train.

const weights = join(out, 'generator.safetensors')
if (options.resume) await Learner.resume(last, gan)
try {
  await gan.fit(options.epochs)
} catch (error) {
  // The best generator so far is back in the model.
  if (error instanceof GANDivergenceError) await saveWeights(generator, weights)
  throw error
}

// Look.

await saveWeights(generator, weights)
await (await gan.showImages({ rows: 8, noise })).save(join(out, 'fakes.png'))
await gan.recorder.plotLosses().save(join(out, 'losses.png'))
await gan.recorder.saveHistory(join(out, 'history.csv'))
const frames = await pictures.animate(join(out, 'progress.webp'))

const { values } = gan.recorder.epochs.at(-1)!
const distances = gan.recorder.epochs.flatMap(({ values }) => values.frechetDistance ?? [])
const seconds = (performance.now() - started) / 1000
const { imagesPerSecond } = throughput
console.log(`
Losses of generator and critic ${values.genLoss?.toFixed(3)}, ${values.criticLoss?.toFixed(3)}; ${seconds.toFixed(0)} s, ${imagesPerSecond.toFixed(0)} pictures/s
In ${out}: fakes.png, real.png, losses.png, progress.webp (${frames} frames), history.csv, generator.safetensors, last.safetensors`)
if (options.json) {
  console.log(
    JSON.stringify({
      genLoss: values.genLoss,
      criticLoss: values.criticLoss,
      frechetDistances: distances,
      epochs: options.epochs,
      steps: gan.recorder.losses.length,
      frames,
      seconds,
      imagesPerSecond,
      device: String(data.device),
    }),
  )
}
