import { DCGANTrainer } from '../../../callbacks/DCGANTrainer.ts'
import type { GANTrainer } from '../../../callbacks/GANTrainer.ts'
import { Recorder, type RecorderPlotOptions } from '../../../callbacks/Recorder.ts'
import { ConfigError } from '../../engine/errors.ts'
import type { BatchEndContext } from '../../learner/events.ts'
import { rejectUnknownOptions } from '../../learner/options.ts'
import { SmoothedValue } from '../../learner/SmoothedValue.ts'
import { bulk } from '../../learner/stateChecks.ts'
import { type Figure, type LineSeries, lineChart } from '../../plot/index.ts'

const lists = [
  'genLosses',
  'criticLosses',
  'genBatches',
  'criticBatches',
  'realScores',
  'fakeScoresBefore',
  'fakeScoresAfter',
] as const

type Lists = Record<(typeof lists)[number], Float64Array>

/** The history of a GANLearner: a Recorder that also has both networks' losses. */
export class GANRecorder extends Recorder {
  /** Loss of the generator in each of its batches. */
  readonly genLosses: number[] = []
  /** Loss of the critic in each of its batches; of a DCGAN's discriminator the sum of its losses on real and on made pictures. */
  readonly criticLosses: number[] = []
  /** Number of each of the generator's batches, among all training batches recorded. */
  readonly genBatches: number[] = []
  /** Number of each of the critic's batches. */
  readonly criticBatches: number[] = []
  /** D(x): what a DCGAN's discriminator gave the real pictures of each batch, as a mean probability. */
  readonly realScores: number[] = []
  /** D(G(z)) before the discriminator's step. */
  readonly fakeScoresBefore: number[] = []
  /** D(G(z)) of the same pictures after it. */
  readonly fakeScoresAfter: number[] = []
  readonly #trainer: GANTrainer

  constructor(trainer: GANTrainer) {
    super()
    this.#trainer = trainer
  }

  override onBatchEnd(context: BatchEndContext): void {
    const before = this.losses.length
    super.onBatchEnd(context)
    if (this.losses.length === before) return
    const { genLoss, criticLoss } = this.#trainer.latest
    if (genLoss !== undefined) {
      this.genLosses.push(genLoss)
      this.genBatches.push(before)
    }
    if (criticLoss !== undefined) {
      this.criticLosses.push(criticLoss)
      this.criticBatches.push(before)
    }
    const scores = this.#trainer instanceof DCGANTrainer ? this.#trainer.scores : undefined
    if (!scores) return
    this.realScores.push(scores.real)
    this.fakeScoresBefore.push(scores.fakeBefore)
    this.fakeScoresAfter.push(scores.fakeAfter)
  }

  override stateDict() {
    return {
      ...super.stateDict(),
      ...Object.fromEntries(lists.map((name) => [name, Float64Array.from(this[name])])),
    }
  }

  override loadStateDict(state: Parameters<Recorder['loadStateDict']>[0] & Lists): void {
    for (const name of lists) bulk(Float64Array)(state[name], `GANRecorder.${name}`)
    super.loadStateDict(state)
    for (const name of lists) {
      this[name].length = 0
      for (const value of state[name]) this[name].push(value)
    }
  }

  /** Losses of the generator and of the critic by batch, smoothed and (with `raw`) as they were. */
  override plotLosses(options: RecorderPlotOptions & { raw?: boolean } = {}): Figure {
    rejectUnknownOptions('plotLosses', options, ['skipStart', 'skipEnd', 'raw'])
    const { skipStart = 0, skipEnd = 0, raw = true } = options
    const end = this.losses.length - skipEnd
    const series = (name: string, batches: number[], losses: number[], color: string, tint: string) => {
      const shown = batches.flatMap((batch, i) => (batch >= skipStart && batch < end ? [i] : []))
      const x = shown.map((i) => (batches[i] as number) + 1)
      const y = shown.map((i) => losses[i] as number)
      const smoothed = new SmoothedValue(0.95)
      const lines: LineSeries[] = [
        { name: `${name} (smoothed)`, x, y: y.map((loss) => smoothed.add(loss)), color },
      ]
      if (raw) lines.unshift({ name, x, y, color: tint, points: false, strokeWidth: 1.2 })
      return shown.length > 0 ? lines : []
    }
    const all = [
      ...series('generator', this.genBatches, this.genLosses, '#c2571a', '#f1d6c6'),
      ...series('critic', this.criticBatches, this.criticLosses, '#2a62b8', '#c6d8f0'),
    ]
    if (all.length === 0) throw new ConfigError('there is no training to plot: await learner.fit(…) first')
    // Pale lines first: they stand behind all others.
    all.sort((a, b) => Number(b.points === false) - Number(a.points === false))
    return lineChart(all, { title: 'Losses', xLabel: 'batches processed', yLabel: 'loss', xIntegers: true })
  }
}
