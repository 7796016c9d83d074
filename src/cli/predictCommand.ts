import { existsSync, statSync } from 'node:fs'
import type { Command } from 'commander'
import { withoutAdvice } from '../data/skipAdvice.ts'
import { library } from './pictures.ts'
import { type FoundPrediction, predictEach } from './predictEach.ts'
import { Terminal } from './Terminal.ts'
import { integer } from './values.ts'

interface PredictOptions {
  top: number
  batchSize: number
  json: boolean
}

/** One line of what `anneal predict` prints: of its JSON, an element of the list. */
export interface FilePrediction {
  file: string
  label?: string
  probability?: number
  /** The likeliest classes, the likeliest first. */
  classes?: { label: string; probability: number }[]
  /** Why there is no prediction. */
  error?: string
}

/** `anneal predict`: what a trained model makes of pictures. */
export function addPredict(program: Command): void {
  program
    .command('predict')
    .summary('name pictures with a trained model')
    .description(
      'Prints what a model makes of pictures: a line for each with the file, its class and how sure the model is, between tabs.',
    )
    .argument('<model>', 'model.safetensors of anneal train, or of learner.export')
    .argument('<files...>', 'pictures, and folders of pictures')
    .option('--top <n>', 'also the next likeliest classes, so many in all', integer(1), 1)
    .option('--batch-size <n>', 'pictures at a time', integer(1), 16)
    .option('--json', 'a JSON list on stdout')
    .addHelpText(
      'after',
      `
Examples:
  anneal predict out/model.safetensors bee.jpg ant.png
  anneal predict out/model.safetensors photos/ --top 3
  anneal predict out/model.safetensors photos/ | sort -k 3 | head      the least certain ones
  anneal predict out/model.safetensors bee.jpg --json

The exit code is 1 if one of the pictures cannot be read; the others are printed all the same.`,
    )
    .action(async (model: string, files: string[], options: PredictOptions) => {
      const terminal = new Terminal(options)
      const { ConfigError, DataError, loadLearner } = await library()
      const learner = await loadLearner(model)
      if (!learner.data.oneItem) {
        throw new ConfigError(
          `${model} does not tell how a picture becomes a batch: it was not trained on pictures`,
        )
      }
      const { picturesIn } = await import('./picturesIn.ts')
      const list = files.flatMap((file) => {
        if (!existsSync(file) || !statSync(file).isDirectory()) return [file]
        const found = picturesIn(file)
        if (found.length === 0) throw new DataError(`there are no pictures in ${file}`)
        return found
      })
      const width = Math.max(...list.map((file) => file.length))
      const all: FilePrediction[] = []
      for (let first = 0; first < list.length; first += options.batchSize) {
        for (const found of await predictEach(learner, list.slice(first, first + options.batchSize))) {
          const line = summarise(found, learner.data.classes, options.top)
          all.push(line)
          if (line.error !== undefined) {
            process.exitCode = 1
            terminal.warn(terminal.style('red', `${line.file}: ${line.error}`))
          } else if (!terminal.json) {
            terminal.say(format(line, terminal, width))
          }
        }
      }
      terminal.result(all)
    })
}

function summarise(
  found: FoundPrediction,
  names: readonly string[] | undefined,
  top: number,
): FilePrediction {
  const { file } = found
  if ('error' in found) return { file, error: withoutAdvice(found.error.message) }
  const { label, predictions } = found.prediction
  const values = (Array.isArray(predictions) ? predictions : [predictions]) as number[]
  const classes = values
    .map((probability, i) => ({ label: names?.[i] ?? String(i), probability }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, top)
  return { file, label: label ?? classes[0]!.label, probability: classes[0]!.probability, classes }
}

/** Columns that line up on a terminal, and tabs for other programs. */
function format(
  { file, classes = [], label = '' }: FilePrediction,
  terminal: Terminal,
  width: number,
): string {
  const tty = terminal.stream.isTTY
  // Several labels at once stand together; their shares are in the JSON.
  const pairs =
    classes.length > 1 || classes[0]?.label === label
      ? classes
      : [{ label, probability: classes[0]!.probability }]
  const cells = pairs.flatMap(({ label, probability }, i) => [
    i === 0 ? terminal.style('bold', label) : label,
    probability.toFixed(4),
  ])
  return tty ? `${file.padEnd(width)}  ${cells.join('  ')}` : [file, ...cells].join('\t')
}
