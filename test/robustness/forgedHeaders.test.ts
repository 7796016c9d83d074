import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  ActivationStats,
  CheckpointCallback,
  CSVLogger,
  EarlyStoppingCallback,
  EMACallback,
  GradientAccumulation,
  LossSpikeCallback,
  MixUpCallback,
  ReduceLROnPlateauCallback,
  SaveModelCallback,
  TensorBoardLogger,
  ValidateEvery,
} from '../../callbacks/index.ts'
import { DataBunch, TensorDataset } from '../../src/data/index.ts'
import { buildPipeline } from '../../src/data/transforms/describe.ts'
import { CheckpointError } from '../../src/engine/errors.ts'
import {
  AnnealError,
  manualSeed,
  memoryStats,
  randn,
  resetPeakMemory,
  synchronize,
} from '../../src/engine/index.ts'
import { Callback, Learner, loadLearner } from '../../src/learner/index.ts'
import { readLearnerFile } from '../../src/learner/learnerFile.ts'
import * as nn from '../../src/nn/index.ts'
import { createBody, models } from '../../src/vision/index.ts'
import { DynamicUnet } from '../../src/vision/models/unet.ts'
import { forge, type LooseHeader } from './forge.ts'

const epochs = 3

function learnerIn(path: string, items = 12): Learner {
  manualSeed(3)
  const set = new TensorDataset(randn([items, 3]), randn([items, 2]))
  const data = DataBunch.create(set, new TensorDataset(randn([4, 3]), randn([4, 2])), { batchSize: 2 })
  const model = new nn.Sequential(new nn.Linear(3, 2), new nn.BatchNorm1d(2), new nn.Linear(2, 2))
  return new Learner(data, model, { lossFunction: new nn.MSELoss(), path, silent: true })
}

const memories = () => [
  new CheckpointCallback({ every: 1, monitor: 'validLoss', topK: 1 }),
  new EMACallback(),
  new GradientAccumulation(2),
  new LossSpikeCallback(),
  new MixUpCallback(0.4),
  new EarlyStoppingCallback({ patience: 9 }),
  new ReduceLROnPlateauCallback({ patience: 9 }),
  new SaveModelCallback(),
  new ValidateEvery(4),
  new ActivationStats(),
  new CSVLogger(),
  new TensorBoardLogger(),
]

class Fail extends Callback {
  override onBatchEnd({ train, iteration }: { train: boolean; iteration: number }) {
    if (train && iteration === 10) throw new Error('the power went out')
  }
}

const run = (learner: Learner, ...more: Callback[]) =>
  learner.fitOneCycle(epochs, { maxLr: 0.01, callbacks: [...memories(), ...more] })

let folder: string
let whole: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'anneal-forged-'))
  await expect(run(learnerIn(folder), new Fail())).rejects.toThrow('the power went out')
  whole = join(folder, 'models', 'last.safetensors')
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Resumes from the checkpoint with a changed header. */
async function resumed(
  change: (fit: LooseHeader, header: LooseHeader) => void,
  items?: number,
): Promise<Error> {
  const file = join(folder, 'models', 'forged.safetensors')
  copyFileSync(whole, file)
  forge(file, (header) => change(header.fit, header))
  const learner = learnerIn(folder, items)
  try {
    await Learner.resume(file, learner)
    await run(learner)
  } catch (error) {
    return error as Error
  }
  throw new Error('it was taken up')
}

const parts: [string, (fit: LooseHeader, header: LooseHeader) => void][] = []
const refuses = (field: string, ...changes: ((fit: LooseHeader, header: LooseHeader) => void)[]) =>
  parts.push(...changes.map((change) => [field, change] as [string, typeof change]))

// Fields of the running fit, which a position once could set: the fit went on for ever.
refuses(
  'position.epochs',
  ({ position }) => {
    position.epochs = 1e300
  },
  ({ position }) => {
    position.epochs = '__proto__'
  },
)
refuses('position.batchesPerEpoch', ({ position }) => {
  position.batchesPerEpoch = 0
})
refuses('position.learner', ({ position }) => {
  position.learner = null
})
for (const value of [
  -1,
  0.5,
  epochs,
  epochs + 1,
  2 ** 53,
  1e300,
  '1',
  null,
  undefined,
  [1],
  { $number: 'NaN' },
]) {
  refuses('position.epoch', ({ position }) => {
    position.epoch = value
  })
  if (value !== epochs && value !== epochs + 1) {
    for (const name of ['iteration', 'numBatch', 'samples']) {
      if (name === 'samples' && typeof value === 'number' && value > 1 && value <= 2 ** 53) continue
      refuses(`position.${name}`, ({ position }) => {
        position[name] = value
      })
    }
  }
}
refuses('position.iteration', ({ position }) => {
  position.iteration = 1e9
})
refuses('position.smoothing', ({ position }) => {
  position.smoothing = { average: 0, count: 1e9 }
})
refuses('position.smoothing', ({ position }) => {
  position.smoothing = null
})
refuses('position.stopTraining', ({ position }) => {
  position.stopTraining = 0
})
for (const name of [
  'request',
  'position',
  'layerGroups',
  'trainable',
  'hyperParameters',
  'callbacks',
  'random',
]) {
  for (const value of [null, 1, 'text', [[]], undefined]) {
    refuses(name === 'layerGroups' || name === 'trainable' ? '' : name, (fit) => {
      fit[name] = value
    })
  }
}
for (const [name, title] of Object.entries({
  epochs: 'epochs',
  batchesPerEpoch: 'batches of an epoch',
  items: 'training items',
  lr: 'lr',
  wd: 'wd',
})) {
  for (const value of [1e300, null, undefined]) {
    refuses(`${title}: .* then`, ({ request }) => {
      request[name] = value
    })
  }
}
refuses('hyperParameters.groups\\[0\\].lr', ({ hyperParameters }) => {
  hyperParameters.groups[0].lr = 'fast'
})
refuses('hyperParameters.groups\\[0\\].params', ({ hyperParameters }) => {
  hyperParameters.groups[0].params = []
})
refuses('hyperParameters.wds', ({ hyperParameters }) => {
  hyperParameters.wds = Array(1000).fill(0)
})
refuses('numberDtypes', ({ trainDl }) => {
  trainDl.numberDtypes = { y: 'complex' }
})
refuses('batch 7: an epoch has 6', ({ trainDl }) => {
  trainDl.batch = 7
})
for (const value of [-1, 1e300, 'a', null]) {
  refuses('epoch', ({ trainDl }) => {
    trainDl.epoch = value
  })
  refuses('seed', ({ trainDl }) => {
    trainDl.seed = value === null ? [] : value
  })
}
refuses('lacks step|step', (_, header) => {
  delete header.numbers['0.weight'].step
})
refuses('numbers', (_, header) => {
  header.numbers['0.weight'].step = [1]
})
refuses('step', (_, header) => {
  header.numbers['0.weight'].step = -1e300
})
refuses('steering', (fit) => {
  fit.steering = [1]
})
refuses('EarlyStoppingCallback', (fit) => {
  delete fit.steering.EarlyStoppingCallback
})

// What each callback remembers.
for (const [place, ...values] of [
  ['CheckpointCallback.best', null, [{ epoch: '../../victim', value: 1 }], [{ epoch: -1, value: 0 }], [1]],
  ['EMACallback.steps', -1, 1e300, 'one'],
  ['EMACallback.averages', [], 1, [1, 2, 3]],
  ['EMACallback.final', 1],
  ['GradientAccumulation.count', -1, 0.5, null],
  ['GradientAccumulation.weight', 'heavy', {}],
  ['LossSpikeCallback.average', null, { average: 0, count: -1 }],
  ['LossSpikeCallback.inARow', 1e9],
  ['EarlyStoppingCallback.wait', -1, null],
  ['EarlyStoppingCallback.best', 'none'],
  ['ReduceLROnPlateauCallback.reducedEpochs', 1, [null]],
  ['SaveModelCallback.savedEpochs', 'all', ['../x']],
  ['ValidateEvery.results', 1, [{ epoch: 0 }]],
  ['ActivationStats.batches', -1, 'all'],
  ['ActivationStats.layers', null, [{}]],
  ['ActivationStats.unread', [{ batch: 0, layers: ['9'], values: 1 }], [{}]],
  ['CSVLogger.bytes', -1, 1e300, null],
  ['TensorBoardLogger.file', '../../victim', '/etc/passwd', 'events.out.tfevents/../../victim', null],
  ['TensorBoardLogger.name', '..', '../..', '/tmp', 1],
  ['TensorBoardLogger.bytes', -1],
  ['Recorder.lrs', null, [1e300]],
  ['Recorder.epochs', 1, [{ epoch: 0 }]],
  ['Recorder.fit', -1e300],
] as [string, ...unknown[]][]) {
  const [owner, name] = place.split('.') as [string, string]
  for (const value of values) {
    refuses(place.replace('.', '\\.'), ({ callbacks }) => {
      callbacks[owner][name] = value
    })
  }
}

describe('a checkpoint whose header was forged', () => {
  it('is a CheckpointError that names the field', async () => {
    const victim = join(folder, 'victim.safetensors')
    writeFileSync(victim, 'mine')
    mkdirSync(join(folder, 'runs'), { recursive: true })
    for (const [field, change] of parts) {
      const error = await resumed(change)
      expect(error, `${field}, ${change}: ${error.stack}`).toBeInstanceOf(AnnealError)
      expect(error.message).toMatch(new RegExp(field))
    }
    expect(readFileSync(victim, 'utf8')).toBe('mine')
    expect(existsSync(join(folder, 'victim'))).toBe(false)
  }, 120_000)

  it('is told from data that have changed', async () => {
    expect((await resumed(() => {}, 10)).message).toMatch(
      /training items: 12 then, 10 now.*same call as before with the same data/,
    )
  })

  it('may have what an extended callback remembers besides', async () => {
    class Patient extends EarlyStoppingCallback {
      override stateDict() {
        return { ...super.stateDict(), more: 1 }
      }
    }
    const path = join(folder, 'extended')
    const fit = (learner: Learner, ...more: Callback[]) =>
      learner.fit(epochs, {
        callbacks: [new Patient({ patience: 9 }), new CheckpointCallback({ every: 1 }), ...more],
      })
    await expect(fit(learnerIn(path), new Fail())).rejects.toThrow('the power went out')
    await fit(await Learner.resume('last', learnerIn(path)))
  })

  it('goes on if nothing was changed', async () => {
    await expect(resumed(() => {})).rejects.toThrow('it was taken up')
  })
})

describe('an exported Learner whose header was forged', () => {
  const exported = async (model: nn.Module, change: (learner: LooseHeader) => void) => {
    const data = { trainDl: learnerIn(folder).data.trainDl }
    const learner = new Learner(data, model, { lossFunction: new nn.MSELoss(), path: folder })
    const file = await learner.export(join(folder, 'exported'))
    forge(file, (header) => change(header.learner))
    return file
  }

  it('takes no memory for layers that its tensors do not fill', async () => {
    for (const values of [
      [1e9, 2],
      [3, 1e9],
      [2 ** 40, 2 ** 40],
      [40_000, 2000],
    ]) {
      const file = await exported(new nn.Sequential(new nn.Linear(3, 2)), ({ model }) => {
        model.children[0][1].values = values
      })
      synchronize()
      resetPeakMemory()
      const before = memoryStats().peakBytes
      await expect(loadLearner(file)).rejects.toThrow(/exported.*larger than the 32 bytes of tensors in it/)
      expect(memoryStats().peakBytes - before).toBeLessThan(20e6)
    }
  })

  it('does not repeat layers without end', async () => {
    const file = await exported(new nn.Sequential(new nn.Linear(3, 2)), ({ model }) => {
      const many = { kind: 'architecture', name: 'resnet152', options: {} }
      model.children = Array.from({ length: 5000 }, (_, i) => [String(i), many])
    })
    await expect(loadLearner(file)).rejects.toThrow(CheckpointError)
  })

  it('cannot say where weights come from', async () => {
    for (const options of [{ pretrained: true }, { weights: join(folder, 'victim.safetensors') }]) {
      const file = await exported(models.simpleCnn([3, 4, 2]), ({ model }) => {
        Object.assign(model, { kind: 'architecture', name: 'resnet18', options })
      })
      await expect(loadLearner(file)).rejects.toThrow(/asks for other weights/)
    }
  })

  it('makes no picture larger than those that are read', () => {
    for (const parameters of [
      { size: 1e9 },
      { size: [10, 1e6] },
      { size: 'all' },
      { padding: [0, 0, 1e9, 0] },
    ]) {
      for (const name of ['resize', 'cropPad', 'pad', 'centerCrop']) {
        expect(() => buildPipeline([{ name, parameters }])).toThrow(
          /has a size of .*; at most 13377 are accepted/,
        )
      }
    }
  })

  it('does not run a U-Net on pictures as large as it claims', async () => {
    const file = await exported(new DynamicUnet(createBody(models.resnet18(), -2), 2, [32, 32]), () => {})
    const whole = readFileSync(file)
    const { layerShapes } = await described(file)
    for (const lie of [
      { size: [1e5, 1e5] },
      { layerShapes: undefined },
      { layerShapes: [] },
      { layerShapes: 'x' },
      { layerShapes: layerShapes.map(() => [1, 1e9, 1e9, 1e9]) },
    ]) {
      writeFileSync(file, whole)
      forge(file, ({ learner }) => void Object.assign(learner.model, lie))
      await expect(loadLearner(file)).rejects.toThrow(AnnealError)
    }
  })
})

async function described(file: string): Promise<LooseHeader> {
  const { header } = await readLearnerFile(file)
  return (header.learner as LooseHeader).model
}
