/**
 * A fit of `resumable.ts` in a process of its own, to be killed and interrupted: `resumableProcess.ts FIT FOLDER EVERY [MS]`.
 * It writes a line for each batch, sleeps MS (5) in each, and in the end writes its outcome to FOLDER/outcome.json.
 */
import { existsSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointCallback } from '../../callbacks/index.ts'
import { type BatchEndContext, Callback, Learner } from '../../src/learner/index.ts'
import { fits, outcome, resumableLearner } from './resumable.ts'

class Report extends Callback {
  override async onBatchEnd({ train }: BatchEndContext) {
    writeSync(1, train ? 'batch\n' : 'validation\n')
    await new Promise((resolve) => setTimeout(resolve, Number(pause)))
  }
}

const [name = '', folder = '', every = '', pause = '5'] = process.argv.slice(2)
const { options, run } = fits[name]!
const learner = resumableLearner(folder, options)
const last = join(folder, 'models', 'last.safetensors')
if (existsSync(last)) await Learner.resume(last, learner)
await run(learner, [
  new Report(),
  new CheckpointCallback({ every: every === 'interrupt' ? every : Number(every) }),
])
writeFileSync(join(folder, 'outcome.json'), JSON.stringify(outcome(learner)))
writeSync(1, `listeners ${process.listenerCount('SIGINT')}\n`)
