import { rm } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import type { Command } from 'commander'
import { makeFolders } from '../io/makeFolders.ts'
import {
  addPictureOptions,
  describePictures,
  foldersHelp,
  library,
  listArchitectures,
  loadPictures,
  makeLearner,
  type PictureOptions,
} from './pictures.ts'
import { Terminal } from './Terminal.ts'
import { integer, number } from './values.ts'

interface TrainOptions extends PictureOptions {
  out: string
  headEpochs: number
  epochs: number
  lr?: number
  onnx: boolean
}

/** What `anneal train --json` prints. */
export interface TrainResult {
  accuracy: number
  validLoss: number
  classes: readonly string[]
  learningRate: number
  epochs: number
  seconds: number
  device: string
  /** Paths of what was written. */
  files: Record<string, string>
}

/** `anneal train`: the transfer-learning recipe on a folder of pictures. */
export function addTrain(program: Command): void {
  addPictureOptions(
    program
      .command('train')
      .summary('teach a network to tell your pictures apart')
      .description(
        'Teaches a network to tell your pictures apart, by transfer learning: a network that has seen many pictures keeps what it ' +
          'knows while a new head learns your classes; then all of it is trained, the early layers more gently. Writes the best ' +
          'model, its history and figures.',
      )
      .argument('[dir]', 'folder of pictures'),
  )
    .option('--out <dir>', 'folder for what is written', 'out')
    .option('--head-epochs <n>', 'passes over the pictures for the new head alone', integer(0), 3)
    .option('--epochs <n>', 'passes for the whole network after that', integer(0), 3)
    .option(
      '--lr <rate>',
      'learning rate of the head; without it the learning-rate finder proposes one',
      number(0),
    )
    .option('--onnx', 'also write the model as ONNX, with probabilities for outputs')
    .addHelpText(
      'after',
      `${foldersHelp}
Examples:
  anneal train bees                             a ResNet18 from published weights, into out/
  anneal train bees --arch resnet50 --out run1  a larger network
  anneal train bees --weights none --epochs 20  from random weights, which takes many more pictures and epochs
  anneal train bees --weights mine.pth          from weights of your own
  anneal predict out/model.safetensors bee.jpg  what comes next

Writes model.safetensors (for predict, evaluate, export and loadLearner), history.csv, lr-find.png, losses.png,
confusion.png and top-losses.png.`,
    )
    .action(async (dir: string | undefined, options: TrainOptions, command: Command) => {
      const terminal = new Terminal(options)
      if (options.arch === 'list') return listArchitectures(terminal)
      if (dir === undefined) command.error("error: missing required argument 'dir'")
      await train(dir as string, options, terminal)
    })
}

async function train(dir: string, options: TrainOptions, terminal: Terminal): Promise<void> {
  const { ConfigError, SaveModelCallback, slice } = await library()
  const started = performance.now()
  const { headEpochs, epochs } = options
  if (headEpochs + epochs === 0)
    throw new ConfigError('--head-epochs and --epochs are both 0: nothing would be trained')
  const { figures } = await import('./picturesIn.ts')
  const out = resolve(options.out)
  const data = await loadPictures(dir, options, out)
  await makeFolders(out).catch((cause: Error) => {
    throw new ConfigError(`--out ${options.out}: the folder cannot be made (${cause.message})`, { cause })
  })
  terminal.say(describePictures(data))
  const learner = await makeLearner(data, options, { path: out, terminal })
  const frozen = options.weights !== 'none'

  const files: Record<string, string> = {}
  const write = async (name: string, file: string, work: (path: string) => Promise<unknown>) => {
    files[name] = join(out, file)
    await work(files[name])
  }
  let rate = options.lr
  if (rate === undefined) {
    terminal.title('\nLooking for a learning rate')
    const found = await learner.lrFind()
    await write('lrFind', figures.lrFind, (path) => learner.recorder.plot().save(path))
    rate = found.suggestions.valley ?? 3e-3
    terminal.say(`the finder proposes ${rate.toExponential(1)}`)
  }

  // Both stages keep the best model by accuracy in one file.
  const best = join(out, 'best')
  const keepBest = (toBeat: number | null) =>
    new SaveModelCallback({ monitor: 'accuracy', name: best, best: toBeat })
  let reached: number | null = null
  if (headEpochs > 0) {
    terminal.title(frozen ? '\nStage 1: the new head' : '\nStage 1: the whole network')
    const keeper = keepBest(null)
    await learner.fitOneCycle(headEpochs, { maxLr: rate, callbacks: [keeper] })
    reached = keeper.best
  }
  if (epochs > 0) {
    terminal.title('\nStage 2: the whole network, early layers more gently')
    learner.unfreeze()
    await learner.fitOneCycle(epochs, { maxLr: slice(rate / 4, rate / 2), callbacks: [keepBest(reached)] })
  }
  learner.callbacks.splice(0) // Progress of the fits, which are over.
  await learner.load(best, { withOptimizer: false })
  await rm(`${best}.safetensors`, { force: true })

  const { loss, accuracy } = (await learner.validate()) as { loss: number; accuracy: number }
  const interpretation = await learner.interpret()
  await write('model', 'model.safetensors', (path) => learner.export(path))
  if (options.onnx) {
    await write('onnx', 'model.onnx', (path) => learner.exportOnnx(path, { activate: true }))
  }
  await write('history', 'history.csv', (path) => learner.recorder.saveHistory(path))
  await write('losses', figures.losses, (path) => learner.recorder.plotLosses().save(path))
  await write('confusion', figures.confusion, (path) => interpretation.plotConfusionMatrix().save(path))
  await write('topLosses', figures.topLosses, async (path) =>
    (await interpretation.plotTopLosses(9)).save(path),
  )

  const seconds = (performance.now() - started) / 1000
  const share = `${(100 * accuracy).toFixed(1)} %`
  terminal.say(
    `\n${terminal.style(['bold', 'green'], `${share} of the validation pictures are named rightly`)} (loss ${loss.toFixed(4)}), after ${seconds.toFixed(0)} s`,
  )
  const [confused] = interpretation.mostConfused()
  if (confused)
    terminal.say(`most confused: ${confused.count} × ${confused.actual} taken for ${confused.predicted}`)
  const here = (path: string) => relative(process.cwd(), path) || path
  terminal.say(
    `\nIn ${here(out)}: ${Object.values(files)
      .map((path) => relative(out, path))
      .join(', ')}`,
  )
  terminal.say(`Next:  anneal predict ${here(files.model!)} PICTURES…`)
  terminal.result({
    accuracy,
    validLoss: loss,
    classes: data.classes ?? [],
    learningRate: rate,
    epochs: headEpochs + epochs,
    seconds,
    device: String(data.device),
    files,
  } satisfies TrainResult)
}
