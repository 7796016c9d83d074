// House prices: a table of numbers and categories becomes predictions that can be submitted.
//
// Prices are judged by the root mean squared error of their logarithms (RMSLE): ten percent too much weighs the same for a cabin
// and for a castle. So it is the logarithm that is learned.

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { EarlyStoppingCallback, SaveModelCallback } from '../callbacks/index.ts'
import {
  DataError,
  fromTable,
  manualSeed,
  metrics,
  setDefaultDevice,
  type TableDataset,
  tabularLearner,
  writeFileAtomic,
} from '../src/index.ts'
import { drawHouses } from './lib/drawHouses.ts'
import { integer, readOptions, text, toggle } from './lib/options.ts'
import { outputFolder } from './lib/outputFolder.ts'

const options = readOptions(
  `
Predicts house prices from a table: DIR/train.csv and DIR/test.csv of Kaggle's competition
"House Prices: Advanced Regression Techniques", or of that format.
Writes submission.csv, history.csv, losses.png, best.safetensors and houses.safetensors (for loadLearner).

  npx tsx recipes/house-prices.ts --out DIR [options]`,
  {
    data: text('DIR', 'folder of train.csv and test.csv, or none to draw a table', 'none'),
    out: text('DIR', 'folder for what is written'),
    target: text('COLUMN', 'column to predict', 'SalePrice'),
    id: text('COLUMN', 'column that names the rows', 'Id'),
    rows: integer('rows of the table that is drawn', 1460, 100),
    batchSize: integer('rows a step', 64, 2),
    epochs: integer('epochs at most', 40),
    patience: integer('epochs without improvement that are borne with', 8, 0),
    seed: integer('same seed, same numbers', 42, 0),
    device: text('NAME', 'cpu, cuda, or auto: cuda where there is one', 'auto'),
    json: toggle('print the result as JSON on the last line'),
  },
)
const started = performance.now()
const out = await outputFolder(options.out)
manualSeed(options.seed)
setDefaultDevice(options.device)

// Data: texts and whole numbers of few values become categories, the others numbers. What is missing is filled in, and marked.

const folder = options.data === 'none' ? join(out, 'data') : options.data
if (options.data === 'none') await drawHouses(folder, { rows: options.rows, seed: options.seed })
for (const name of ['train.csv', 'test.csv']) {
  if (!existsSync(join(folder, name))) throw new DataError(`${resolve(folder)} has no file ${name}`)
}
const data = await fromTable(join(folder, 'train.csv'), {
  target: options.target,
  log: true,
  ignore: [options.id],
  test: join(folder, 'test.csv'),
  validPct: 0.2,
  batchSize: options.batchSize,
  seed: options.seed,
})
console.log(String(data))

// Model: embeddings and numbers through two layers, kept within the prices that have been seen and a little more.

let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
for await (const { y } of data.fixDl) {
  low = Math.min(low, y.min().item())
  high = Math.max(high, y.max().item())
}
const learner = tabularLearner(data, {
  layers: [200, 100],
  dropout: [0.05, 0.1],
  embeddingDropout: 0.04,
  yRange: [low - 0.5, high + 0.5],
  // Of logarithms: what is the root mean squared error of these is the RMSLE of prices.
  metrics: [metrics.named('rmsle', metrics.rmse)],
  path: out,
})

// Train, until it gets no better; the best model is kept.

const best = new SaveModelCallback({ monitor: 'rmsle', name: join(out, 'best') })
const early = new EarlyStoppingCallback({ monitor: 'rmsle', patience: options.patience })
await learner.fitFlatCosine(options.epochs, { lr: 5e-3, callbacks: [best, early] })
await learner.load(join(out, 'best'))
const { rmsle } = await learner.validate()

// Predict, and write what can be submitted.

const { predictions } = await learner.getPredictions({ dataset: 'test' })
const prices = Array.from(await predictions.flatten().exp().data(), Number)
const ids = (data.testDs as TableDataset).column(options.id)
const lines = ids.map((id, row) => `${id},${prices[row]!.toFixed(2)}`)
await writeFileAtomic(join(out, 'submission.csv'), `${options.id},${options.target}\n${lines.join('\n')}\n`)
await learner.recorder.saveHistory(join(out, 'history.csv'))
await learner.recorder.plotLosses().save(join(out, 'losses.png'))
await learner.export(join(out, 'houses'))

const seconds = (performance.now() - started) / 1000
const epochs = learner.recorder.validLosses.length
console.log(`
RMSLE ${rmsle!.toFixed(4)} on ${data.validDs!.length} rows, after ${epochs} epochs; ${seconds.toFixed(0)} s
In ${out}: submission.csv (${ids.length} rows), history.csv, losses.png, best.safetensors, houses.safetensors`)
if (options.json) {
  console.log(JSON.stringify({ rmsle, epochs, rows: ids.length, seconds, device: String(data.device) }))
}
