import { Callback } from './Callback.ts'
import type { BatchEndContext } from './events.ts'
import { ProgressBar } from './ProgressBar.ts'

/** On a terminal, a bar for a run of batches that is no fit: a sweep of the rate, a measurement. It is gone when the run is over. */
export class SweepProgress extends Callback {
  /** Before the finder, which sets the rate of the next batch. */
  override order = -2000
  readonly title: string
  readonly batches: number
  readonly #bar = process.stdout.isTTY ? new ProgressBar({}) : undefined

  constructor(title: string, batches: number) {
    super()
    this.title = title
    this.batches = batches
  }

  override onTrainBegin(): void {
    this.#bar?.start()
    this.#bar?.begin(0)
  }

  override onBatchEnd({ iteration, smoothLoss, learner }: BatchEndContext): void {
    const figures = `lr ${learner.optimizer.lr.toExponential(1)}  loss ${smoothLoss.toFixed(4)}`
    this.#bar?.update(iteration + 1, Math.max(this.batches, iteration + 1), this.title, figures)
  }

  override onTrainEnd(): void {
    this.#bar?.erase()
  }
}
