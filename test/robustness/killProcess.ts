/**
 * A fit with a checkpoint after each batch, to be killed: `killProcess.ts FOLDER [checkpoint]`. It goes on from the checkpoint in
 * FOLDER if there is one, writes a line at the begin of each training batch and, in the end, the digest of all that must agree to
 * the bit. Without `checkpoint` nothing is written.
 */
import { createHash } from 'node:crypto'
import { existsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointCallback } from '../../callbacks/CheckpointCallback.ts'
import { Callback, type EventContexts, Learner } from '../../src/learner/index.ts'
import { outcome, resumableLearner } from '../learner/resumable.ts'

/** Wide enough that a checkpoint takes many writes: 6 MB with what Adam remembers. */
const width = 40_000

class Report extends Callback {
  override onBatchBegin({ train, iteration }: EventContexts['onBatchBegin']): undefined {
    if (train) writeSync(1, `begin ${iteration}\n`)
  }
}

const [folder = '', checkpoint] = process.argv.slice(2)
const learner = resumableLearner(folder, {}, width)
const last = join(folder, 'models', 'last.safetensors')
if (existsSync(last)) await Learner.resume(last, learner)
const extra = checkpoint === undefined ? [] : [new CheckpointCallback({ every: 1 })]
await learner.fitOneCycle(5, { maxLr: [0.01, 0.05], callbacks: [new Report(), ...extra] })
const digest = createHash('sha256')
  .update(JSON.stringify(outcome(learner)))
  .digest('hex')
writeSync(1, `outcome ${digest}\n`)
