import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/engine/errors.ts'
import {
  type BackwardBeginContext,
  type BackwardEndContext,
  type BatchBeginContext,
  type BatchEndContext,
  Callback,
  CancelBatch,
  CancelEpoch,
  CancelFit,
  CancelValidation,
  type EpochEndContext,
  type StepEndContext,
  type TrainEndContext,
} from '../../src/learner/index.ts'
import { lineLearner, on, Witness, weightOf } from './support.ts'

const train = ['BB', 'LB', 'KB', 'KE', 'SE', 'BE']
const valid = ['bb', 'lb', 'be']
const times = (count: number, events: readonly string[]) => Array(count).fill(events).flat()
const trained = (witness: Witness) => witness.events.filter((event) => event === 'BE').length

describe('the order of events', () => {
  it('is that of fastai', async () => {
    const witness = new Witness()
    await lineLearner({ batches: 2, validBatches: 1 }).fit(2, { callbacks: [witness] })
    const epoch = ['EB', ...times(2, train), ...valid, 'EE']
    expect(witness.events).toEqual(['TB', ...epoch, ...epoch, 'TE'])
  })

  it('has no validation events without validation data', async () => {
    const witness = new Witness()
    await lineLearner({ batches: 1, validBatches: 0 }).fit(1, { callbacks: [witness] })
    expect(witness.events).toEqual(['TB', 'EB', ...train, 'EE', 'TE'])
  })

  it('goes by order, then as given, each promise awaited', async () => {
    const heard: string[] = []
    const late = on('onBatchEnd', async () => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      heard.push('slow')
    })
    const callbacks = [
      on('onBatchEnd', () => heard.push('last') && undefined, 5),
      late,
      on('onBatchEnd', () => heard.push('second') && undefined),
      on('onBatchEnd', () => heard.push('first') && undefined, -1),
    ]
    await lineLearner({ batches: 1, validBatches: 0 }).fit(1, { callbacks })
    expect(heard).toEqual(['first', 'slow', 'second', 'last'])
  })
})

describe('the end of the fit', () => {
  it('has an order of its own for who says so', async () => {
    const heard: string[] = []
    class Ends extends Callback {
      override order: number
      override readonly endOrder: number
      readonly name: string
      constructor(name: string, order: number, endOrder = order) {
        super()
        this.name = name
        this.order = order
        this.endOrder = endOrder
      }
      override onEpochEnd() {
        heard.push(this.name)
      }
      override onTrainEnd() {
        heard.push(this.name)
      }
    }
    const callbacks = [new Ends('a', 0), new Ends('b', 60, -60), new Ends('c', -20, Number.POSITIVE_INFINITY)]
    await lineLearner({ batches: 1 }).fit(1, { callbacks })
    expect(heard).toEqual(['c', 'a', 'b', 'b', 'a', 'c'])
    await expect(lineLearner().fit(1, { callbacks: [new Ends('d', 0, Number.NaN)] })).rejects.toThrow(
      /Ends\.endOrder must be a number, got NaN/,
    )
  })
})

describe('the context', () => {
  it('counts batches and epochs, and tells training from validation', async () => {
    const seen: unknown[] = []
    const watch = on<BatchEndContext>(
      'onBatchEnd',
      ({ train, epoch, iteration, numBatch, epochs, batchesPerEpoch }) => {
        seen.push([train, epoch, iteration, numBatch, epochs, batchesPerEpoch])
      },
    )
    await lineLearner({ batches: 2, validBatches: 1 }).fit(2, { callbacks: [watch] })
    expect(seen).toEqual([
      [true, 0, 0, 0, 2, 2],
      [true, 0, 1, 1, 2, 2],
      [false, 0, 2, 0, 2, 2],
      [true, 1, 2, 0, 2, 2],
      [true, 1, 3, 1, 2, 2],
      [false, 1, 4, 0, 2, 2],
    ])
  })

  it('smooths the loss over the whole fit, and also has the mean of the epoch', async () => {
    const losses: number[] = []
    const ends: EpochEndContext[] = []
    const callbacks = [
      on<BatchEndContext>('onBatchEnd', ({ train, lossValue }) => void (train && losses.push(lossValue))),
      on<EpochEndContext>('onEpochEnd', ({ smoothLoss, meanLoss, lastMetrics }) => {
        ends.push({ smoothLoss, meanLoss, lastMetrics } as EpochEndContext)
      }),
    ]
    await lineLearner({ batches: 3 }).fit(2, { lr: 0.01, callbacks })
    const smooth = losses.reduce((average, loss) => 0.98 * average + 0.02 * loss, 0) / (1 - 0.98 ** 6)
    expect(ends[1]!.smoothLoss).toBeCloseTo(smooth, 10)
    expect(ends[1]!.lastMetrics.trainLoss).toBe(ends[1]!.smoothLoss)
    expect(ends[1]!.meanLoss).toBeCloseTo((losses[3]! + losses[4]! + losses[5]!) / 3, 10)
  })

  it('says so when asked for what is not there yet', async () => {
    const early = on<BackwardBeginContext>('onBatchBegin', ({ lastOutput }) => void lastOutput)
    await expect(lineLearner().fit(1, { callbacks: [early] })).rejects.toThrow(/no lastOutput here/)
  })
})

describe('returned changes', () => {
  const fitWith = async (...callbacks: Callback[]) => {
    const learner = lineLearner()
    const witness = new Witness()
    await learner.fit(3, { lr: 0.01, callbacks: [...callbacks, witness] })
    return { learner, witness }
  }

  it('replace input, target, output and loss', async () => {
    const seen: number[] = []
    await fitWith(
      on<BatchBeginContext>('onBatchBegin', ({ lastInput, lastTarget }) => ({
        lastInput: (lastInput as never as { mul(x: number): never }).mul(0),
        lastTarget: (lastTarget as never as { mul(x: number): never }).mul(0),
      })),
      on<BackwardBeginContext>('onLossBegin', ({ lastOutput }) => ({ lastOutput: lastOutput.add(2) })),
      on<BackwardBeginContext>('onBackwardBegin', ({ lastLoss }) => ({ lastLoss: lastLoss.mul(100) })),
      on<BatchEndContext>('onBatchEnd', ({ lossValue, lastLoss }) => {
        seen.push(lossValue, lastLoss.item())
      }),
    )
    expect(seen.slice(0, 2)).toEqual([4, 400]) // reported as the loss function gave it, back-propagated as changed
  })

  it('skipBackward leaves the weights and makes no gradients', async () => {
    const grads: unknown[] = []
    const { learner } = await fitWith(
      on('onBackwardBegin', () => ({ skipBackward: true })),
      on<BackwardEndContext>(
        'onBackwardEnd',
        ({ learner }) => void grads.push(learner.optimizer.parameters()[0]!.grad),
      ),
    )
    expect(weightOf(learner)).toBe(1)
    expect(new Set(grads)).toEqual(new Set([null]))
  })

  it('skipStep leaves the weights, and gradients are zeroed all the same', async () => {
    const { learner } = await fitWith(on('onBackwardEnd', () => ({ skipStep: true })))
    expect(weightOf(learner)).toBe(1)
    expect(learner.optimizer.parameters()[0]!.grad).toBeNull()
  })

  it('skipStep with skipZero accumulates', async () => {
    const grads: number[] = []
    const learner = lineLearner({ batches: 3, validBatches: 0 })
    await learner.fit(1, {
      callbacks: [
        on('onBackwardEnd', () => ({ skipStep: true })),
        on<StepEndContext>('onStepEnd', ({ learner }) => {
          grads.push(learner.optimizer.parameters()[0]!.grad!.item())
          return { skipZero: true }
        }),
      ],
    })
    // d/dw mean((w x - 3 x)²) = 2 (w - 3) mean(x²) = -4 mean(x²)
    const means = [0.025, 0.125, 0.305]
    const sums = means.map((_, i) => -4 * means.slice(0, i + 1).reduce((sum, mean) => sum + mean, 0))
    expect(grads).toEqual(sums.map((sum) => expect.closeTo(sum, 5)))
  })

  it('stopEpoch, stopTraining and skipValidate end what they name', async () => {
    const at = (changes: object) =>
      on<BatchEndContext>('onBatchEnd', ({ epoch, numBatch, train }) =>
        train && epoch === 0 && numBatch === 1 ? changes : undefined,
      )
    expect(trained((await fitWith(at({ stopEpoch: true }))).witness)).toBe(2 + 5 + 5)
    expect(trained((await fitWith(at({ stopTraining: true }))).witness)).toBe(5)
    const all = await fitWith(at({ stopEpoch: true, stopTraining: true, skipValidate: true }))
    expect(trained(all.witness)).toBe(2)
    expect(all.witness.events).not.toContain('bb')
    expect(all.learner.recorder.epochs[0]!.values.validLoss).toBeNull()
    expect(trained((await fitWith(on('onEpochEnd', () => ({ stopTraining: true })))).witness)).toBe(5)
  })

  it('epoch lets a fit begin later, skipValidate lets it go without validation', async () => {
    const { witness } = await fitWith(on('onTrainBegin', () => ({ epoch: 2, skipValidate: true })))
    expect(witness.events).toEqual(['TB', 'EB', ...times(5, train), 'EE', 'TE'])
  })

  it('that are unknown, not allowed here, or of the wrong kind are errors that list what is allowed', async () => {
    const failing = (event: string, changes: unknown) => fitWith(on(event, () => changes))
    await expect(failing('onBatchEnd', { stopEpock: true })).rejects.toThrow(
      /OnTheSpot\.onBatchEnd returned the change "stopEpock"; it may return nothing, or an object with stopEpoch, stopTraining, skipValidate/,
    )
    await expect(failing('onEpochBegin', { stopTraining: true })).rejects.toThrow(/it may return nothing$/)
    await expect(failing('onBatchEnd', true)).rejects.toThrow(/returned true/)
    await expect(failing('onBackwardEnd', { skipStep: 1 })).rejects.toThrow(
      /skipStep to 1; it is true or false/,
    )
    await expect(failing('onTrainBegin', { epoch: -1 })).rejects.toThrow(ConfigError)
    await expect(failing('onEpochEnd', { lastMetrics: { acuracy: 1 } })).rejects.toThrow(
      /"acuracy"; known are trainLoss, validLoss/,
    )
  })
})

describe('cancelling', () => {
  const run = async (event: string, make: () => Error, when: (context: BatchEndContext) => boolean) => {
    const learner = lineLearner({ batches: 3, validBatches: 2 })
    const witness = new Witness()
    const cancel = on<BatchEndContext>(event, (context) => {
      if (when(context)) throw make()
    })
    await learner.fit(2, { lr: 0.01, callbacks: [witness, cancel] })
    return { learner, events: witness.events }
  }
  const rest = ['EB', ...times(3, train), ...times(2, valid), 'EE', 'TE']

  it('CancelBatch goes on with the next batch, and takes no step', async () => {
    const { events, learner } = await run(
      'onBackwardEnd',
      () => new CancelBatch(),
      ({ iteration }) => iteration === 1,
    )
    expect(events).toEqual([
      'TB',
      'EB',
      ...train,
      'BB',
      'LB',
      'KB',
      'KE',
      'BE',
      ...train,
      ...times(2, valid),
      'EE',
      ...rest,
    ])
    expect(learner.optimizer.parameters()[0]!.grad).toBeNull()
    const never = await run(
      'onBatchBegin',
      () => new CancelBatch(),
      ({ train }) => train,
    )
    expect(weightOf(never.learner)).toBe(1)
    expect(never.learner.recorder.epochs[0]!.values.trainLoss).toBeNull()
  })

  it('CancelEpoch leaves the epoch with its validation', async () => {
    const { events, learner } = await run(
      'onStepEnd',
      () => new CancelEpoch(),
      ({ epoch, numBatch }) => epoch === 0 && numBatch === 1,
    )
    expect(events).toEqual(['TB', 'EB', ...train, 'BB', 'LB', 'KB', 'KE', 'SE', 'EE', ...rest])
    expect(learner.recorder.epochs.map(({ values }) => values.validLoss === null)).toEqual([true, false])
  })

  it.each(['onBackwardEnd', 'onStepEnd'])(
    'however a batch is left at %s, its gradients are added to nothing that follows',
    async (event) => {
      const gradients = async (make?: () => Error) => {
        const seen: number[] = []
        const learner = lineLearner({ batches: 3, validBatches: 0 })
        const look = on<BatchEndContext>('onBackwardEnd', ({ learner }) => {
          seen.push(learner.optimizer.parameters()[0]!.accumulated!.item())
        })
        // Rates are so small that the weights stay.
        const leave = on<BatchEndContext>(
          event,
          ({ iteration }) => {
            if (make && iteration === 1) throw make()
          },
          5,
        )
        const fit = () => learner.fit(2, { lr: 1e-12, callbacks: [look, leave] })
        await fit().catch((error: Error) => expect(error.message).toBe('a callback failed'))
        return { seen, learner, fit }
      }
      const [first, second, third] = (await gradients()).seen
      const cases: [() => Error, (number | undefined)[]][] = [
        [() => new CancelBatch(), [first, second, third, first, second, third]],
        [() => new CancelEpoch(), [first, second, first, second, third]],
        [() => new CancelFit(), [first, second]],
        [() => new Error('a callback failed'), [first, second]],
      ]
      for (const [make, expected] of cases) {
        const { seen, learner, fit } = await gradients(make)
        expect(seen).toEqual(expected)
        expect(learner.optimizer.parameters()[0]!.accumulated).toBeNull()
        seen.length = 0
        await fit().catch(() => {})
        expect(seen[0]).toBe(first)
      }
    },
  )

  it('CancelFit leaves no gradients that a callback was adding up; CancelEpoch between batches leaves them to it', async () => {
    const run = async (make: () => Error) => {
      const seen: number[] = []
      const learner = lineLearner({ batches: 2, validBatches: 0 })
      const accumulate = [
        on('onBackwardEnd', () => ({ skipStep: true })),
        on<StepEndContext>('onStepEnd', ({ learner }) => {
          seen.push(learner.optimizer.parameters()[0]!.accumulated!.item())
          return { skipZero: true }
        }),
        on<BatchEndContext>('onBatchEnd', ({ iteration }) => {
          if (iteration === 0) throw make()
        }),
      ]
      await learner.fit(2, { callbacks: accumulate })
      return { seen, left: learner.optimizer.parameters()[0]!.accumulated }
    }
    expect((await run(() => new CancelFit())).left).toBeNull()
    const { seen, left } = await run(() => new CancelEpoch())
    expect(seen[1]).toBeCloseTo(2 * seen[0]!, 5)
    expect(left).not.toBeNull()
  })

  it('CancelValidation leaves the validation', async () => {
    const { events, learner } = await run(
      'onLossBegin',
      () => new CancelValidation(),
      ({ train, epoch }) => !train && epoch === 0,
    )
    expect(events).toEqual(['TB', 'EB', ...times(3, train), 'bb', 'lb', 'EE', ...rest])
    expect(learner.recorder.epochs.map(({ values }) => values.validLoss === null)).toEqual([true, false])
  })

  it('CancelFit ends the fit, which is no error', async () => {
    const { events } = await run(
      'onBatchEnd',
      () => new CancelFit(),
      ({ iteration }) => iteration === 1,
    )
    expect(events).toEqual(['TB', 'EB', ...train, ...train, 'TE'])
    const before = await run(
      'onTrainBegin',
      () => new CancelFit(),
      () => true,
    )
    expect(before.events).toEqual(['TB', 'TE'])
  })

  it('outside of its loop is an error', async () => {
    await expect(
      run(
        'onEpochBegin',
        () => new CancelBatch(),
        () => true,
      ),
    ).rejects.toThrow(/outside of the loop/)
  })
})

describe('errors', () => {
  const events = [
    'onTrainBegin',
    'onEpochBegin',
    'onBatchBegin',
    'onLossBegin',
    'onBackwardBegin',
    'onBackwardEnd',
  ].concat(['onStepEnd', 'onBatchEnd', 'onEpochEnd', 'onTrainEnd'])

  it.each(events)(
    'at %s reach the caller; who has begun is told of the end; the learner can go on',
    async (event) => {
      const learner = lineLearner()
      const before = new Witness()
      const after = new Witness()
      let fails = true
      const callback = on(event, async () => {
        if (fails) throw new RangeError(`no luck at ${event}`)
      })
      await expect(learner.fit(1, { lr: 0.01, callbacks: [before, callback, after] })).rejects.toThrow(
        `no luck at ${event}`,
      )
      const count = (witness: Witness, ...names: string[]) =>
        witness.events.filter((name) => names.includes(name)).length
      expect(count(before, 'TE', 'TE!')).toBe(1)
      expect(count(after, 'TE', 'TE!')).toBe(count(after, 'TB'))
      fails = false
      const weight = weightOf(learner)
      await learner.fit(1, { lr: 0.01, callbacks: [callback] })
      expect(weightOf(learner)).not.toBe(weight)
    },
  )

  it('tell the end what they are', async () => {
    const seen: unknown[] = []
    const watch = on<TrainEndContext>('onTrainEnd', ({ exception }) => void seen.push(exception))
    const error = new Error('once')
    const fail = on('onBatchBegin', () => {
      throw error
    })
    await expect(lineLearner().fit(1, { callbacks: [watch, fail] })).rejects.toBe(error)
    await lineLearner().fit(1, { callbacks: [watch] })
    expect(seen).toEqual([error, undefined])
  })

  it('of the loader come through', async () => {
    const learner = lineLearner()
    const { trainDl } = learner.data
    const broken = {
      length: 2,
      dataset: trainDl.dataset,
      async *[Symbol.asyncIterator]() {
        for await (const batch of trainDl) {
          yield batch
          throw new Error('the disk is gone')
        }
      },
    }
    Object.assign(learner.data, { trainDl: broken })
    await expect(learner.fit(1)).rejects.toThrow('the disk is gone')
  })
})

describe('attaching', () => {
  class Misspelt extends Callback {
    onBatchEnded() {}
  }

  it('refuses events that do not exist, with the list', async () => {
    expect(() => lineLearner({ callbacks: [new Misspelt() as unknown as Callback] })).toThrow(
      /Misspelt has onBatchEnded, but there is no such event; events are onTrainBegin, .*onTrainEnd/,
    )
    await expect(
      lineLearner().fit(1, { callbacks: [new Misspelt() as unknown as Callback] }),
    ).rejects.toThrow(ConfigError)
    await expect(lineLearner().fit(1, { callbacks: [on('onEpochStart', () => {})] })).rejects.toThrow(
      /onEpochStart/,
    )
  })

  it('refuses what is no callback', async () => {
    expect(() => lineLearner({ callbacks: [Witness as unknown as Callback] })).toThrow(
      /construct it with new/,
    )
    expect(() => lineLearner({ callbacks: [{} as unknown as Callback] })).toThrow(/a Object|plain object/)
  })

  it('refuses extra metrics that the recorder would miss', () => {
    class Late extends Callback {
      override readonly extraMetrics = ['genLoss']
    }
    expect(() => lineLearner({ callbacks: [new Late()] })).toThrow(/order below -10/)
  })

  it('takes a callback that is given twice once', async () => {
    const witness = new Witness()
    await lineLearner({ batches: 1, validBatches: 0, callbacks: [witness] }).fit(1, { callbacks: [witness] })
    expect(witness.events).toEqual(['TB', 'EB', ...train, 'EE', 'TE'])
  })
})
