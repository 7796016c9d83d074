import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { withoutAdvice } from '../data/skipAdvice.ts'
import { library } from './pictures.ts'
import { predictEach } from './predictEach.ts'
import { Terminal } from './Terminal.ts'
import { integer } from './values.ts'

interface EvaluateOptions {
  out?: string
  batchSize: number
  skipBroken: boolean
  json: boolean
}

/** `anneal evaluate`: how well a trained model names pictures whose classes are known. */
export function addEvaluate(program: Command): void {
  program
    .command('evaluate')
    .summary('measure a trained model on pictures whose classes are known')
    .description(
      'Names the pictures of a folder and compares with the folders they lie in: accuracy, loss, and precision, recall and F1 of each class.',
    )
    .argument('<model>', 'model.safetensors of anneal train, or of learner.export')
    .argument('<dir>', 'folder with a folder for each class (or with test, valid or val, which has them)')
    .option('--out <file>', 'also draw the confusion matrix (.png, .svg or .html)')
    .option('--batch-size <n>', 'pictures at a time', integer(1), 16)
    .option('--skip-broken', 'leave out pictures that cannot be read, instead of stopping')
    .option('--json', 'one JSON object on stdout')
    .addHelpText(
      'after',
      `
Examples:
  anneal evaluate out/model.safetensors bees/test
  anneal evaluate out/model.safetensors bees --out confusion.png
  anneal evaluate out/model.safetensors bees/test --json | jq .accuracy`,
    )
    .action(async (model: string, dir: string, options: EvaluateOptions) => {
      const terminal = new Terminal(options)
      const { ClassificationInterpretation, DataError, loadLearner } = await library()
      const learner = await loadLearner(model)
      const classes = learner.data.classes
      if (!classes) throw new DataError(`${model} has no names of classes to compare with`)
      const { files, labels } = await labelledPictures(dir, classes)

      const actual: number[] = []
      const predicted: number[] = []
      const losses: number[] = []
      const skipped: string[] = []
      const probabilities: number[] = []
      for (let first = 0; first < files.length; first += options.batchSize) {
        const chunk = files.slice(first, first + options.batchSize)
        for (const [i, found] of (await predictEach(learner, chunk)).entries()) {
          if ('error' in found) {
            if (!options.skipBroken || !(found.error instanceof DataError)) throw found.error
            skipped.push(found.file)
            terminal.warn(terminal.style('red', `left out: ${withoutAdvice(found.error.message)}`))
            continue
          }
          const label = labels[first + i]!
          const values = found.prediction.predictions as number[]
          if (!Array.isArray(values) || values.length !== classes.length) {
            throw new DataError(`${model} is no classifier with one class a picture`)
          }
          const probability = values[label]!
          actual.push(label)
          predicted.push(values.indexOf(Math.max(...values)))
          probabilities.push(probability)
          losses.push(-Math.log(Math.max(probability, Number.MIN_VALUE)))
        }
        if (terminal.stream.isTTY)
          terminal.stream.write(`\r\x1b[K${predicted.length + skipped.length} of ${files.length} pictures`)
      }
      if (terminal.stream.isTTY) terminal.stream.write('\r\x1b[K')
      const pictures = predicted.length
      if (pictures === 0) throw new DataError(`none of the ${files.length} pictures in ${dir} can be read`)
      const interpretation = new ClassificationInterpretation(classes, predicted, actual, losses, {
        probabilities,
      })
      const accuracy = predicted.filter((label, i) => label === actual[i]).length / pictures
      const loss = losses.reduce((sum, value) => sum + value, 0) / pictures
      const report = interpretation.classReport()
      if (options.out !== undefined) await interpretation.plotConfusionMatrix().save(options.out)

      const width = Math.max(5, ...classes.map((name) => name.length)) + 2
      const share = (value: number) => (Number.isNaN(value) ? '-' : value.toFixed(4)).padEnd(11)
      terminal.title(
        `${'class'.padEnd(width)}${['precision', 'recall', 'f1'].map((name) => name.padEnd(11)).join('')}pictures`,
      )
      for (const row of report) {
        terminal.say(
          `${row.class.padEnd(width)}${share(row.precision)}${share(row.recall)}${share(row.f1)}${row.support}`,
        )
      }
      terminal.say(
        `\n${terminal.style('bold', `accuracy ${accuracy.toFixed(4)}`)}, loss ${loss.toFixed(4)}, ${pictures} pictures${skipped.length > 0 ? `, ${skipped.length} left out` : ''}`,
      )
      for (const { actual, predicted, count } of interpretation.mostConfused().slice(0, 3)) {
        terminal.say(`  ${count} × ${actual} taken for ${predicted}`)
      }
      if (options.out !== undefined) terminal.say(`\nThe confusion matrix is in ${options.out}`)
      terminal.result({
        accuracy,
        loss,
        pictures,
        ...(options.skipBroken && { skipped }),
        classes: report,
        confusionMatrix: interpretation.confusionMatrix(),
        ...(options.out !== undefined && { file: options.out }),
      })
    })
}

/** Pictures with the numbers of their classes, which are the names of their folders. */
async function labelledPictures(
  dir: string,
  classes: readonly string[],
): Promise<{ files: string[]; labels: number[] }> {
  const { DataError } = await library()
  const { foldersIn, holdsResults, picturesIn } = await import('./picturesIn.ts')
  if (!existsSync(dir)) throw new DataError(`there is no folder ${dir}`)
  const isClass = (name: string) => classes.includes(name)
  const folders = foldersIn(dir).filter((name) => isClass(name) || !holdsResults(join(dir, name)))
  const inside = ['test', 'valid', 'val'].find(
    (name) => folders.includes(name) && foldersIn(join(dir, name)).length > 0,
  )
  if (inside !== undefined && !folders.some(isClass)) return labelledPictures(join(dir, inside), classes)
  const unknown = folders.filter((name) => !isClass(name))
  if (unknown.length > 0) {
    throw new DataError(
      `${dir} has folders that are no classes of the model: ${unknown.join(', ')}; the classes are ${classes.join(', ')}`,
    )
  }
  const files: string[] = []
  const labels: number[] = []
  for (const name of folders) {
    for (const file of picturesIn(join(dir, name))) {
      files.push(file)
      labels.push(classes.indexOf(name))
    }
  }
  if (files.length === 0) {
    throw new DataError(
      `there are no pictures in ${dir} in folders named after the classes ${classes.join(', ')}`,
    )
  }
  return { files, labels }
}
