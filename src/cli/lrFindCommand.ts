import type { Command } from 'commander'
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

interface LrFindOptions extends PictureOptions {
  out: string
  start: number
  end: number
  steps: number
  unfrozen: boolean
}

/** What the suggestions mean. */
const MEANINGS: Readonly<Record<string, string>> = {
  valley: 'the steepest part of the longest fall: a good one to start with',
  steep: 'where the loss falls fastest',
  minimum: 'a tenth of where the loss is least',
  slide: 'just before the loss begins to rise',
  minGradient: "fastai's older rule",
}

/** `anneal lr-find`: the learning-rate finder on a folder of pictures. */
export function addLrFind(program: Command): void {
  addPictureOptions(
    program
      .command('lr-find')
      .summary('find a learning rate for your pictures')
      .description(
        'Raises the learning rate step by step, watches the loss, and proposes rates to train with. Nothing is trained: the network ' +
          'is put back. Saves the curve as a figure.',
      )
      .argument('[dir]', 'folder of pictures'),
  )
    .option('--out <file>', 'the figure (.png, .svg or .html)', 'lr-find.png')
    .option('--start <rate>', 'first rate', number(0), 1e-7)
    .option('--end <rate>', 'last rate', number(0), 10)
    .option('--steps <n>', 'steps from the first to the last', integer(10), 100)
    .option('--unfrozen', 'for training the whole network, not the new head alone')
    .addHelpText(
      'after',
      `${foldersHelp}
Examples:
  anneal lr-find bees
  anneal lr-find bees --arch resnet50 --out curve.svg
  anneal train bees --lr $(anneal lr-find bees --json | jq .suggestions.valley)`,
    )
    .action(async (dir: string | undefined, options: LrFindOptions, command: Command) => {
      const terminal = new Terminal(options)
      if (options.arch === 'list') return listArchitectures(terminal)
      if (dir === undefined) command.error("error: missing required argument 'dir'")
      await library()
      const data = await loadPictures(dir as string, options)
      terminal.say(describePictures(data))
      const learner = await makeLearner(data, options, { path: '.', terminal })
      if (options.unfrozen) learner.unfreeze()
      const { start, end, steps } = options
      const { suggestions, lrs, losses } = await learner.lrFind({ startLr: start, endLr: end, numIt: steps })
      await learner.recorder.plot().save(options.out)
      terminal.say()
      for (const [name, rate] of Object.entries(suggestions)) {
        const text = rate === null || rate === undefined ? 'none' : rate.toExponential(2)
        const line = `  ${name.padEnd(13)}${text.padEnd(10)}${MEANINGS[name] ?? ''}`
        terminal.say(name === 'valley' ? terminal.style('bold', line) : line)
      }
      terminal.say(`\nThe curve is in ${options.out}`)
      terminal.result({ suggestions, lrs, losses, file: options.out })
    })
}
