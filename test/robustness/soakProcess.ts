/**
 * Trains for a long time, all that a training has around it included: `soakProcess.ts '{"folder":…,"steps":…}'`, see `Soak`. After
 * each epoch it writes a line of JSON with what the process holds, see `Sample`.
 */
import { readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import {
  CheckpointCallback,
  CSVLogger,
  EMACallback,
  JSONLogger,
  SaveModelCallback,
  TensorBoardLogger,
} from '../../callbacks/index.ts'
import {
  Callback,
  DataBunch,
  type EventContexts,
  getTransforms,
  ImageDataBunch,
  imagenetStats,
  Learner,
  manualSeed,
  memoryStats,
  metrics,
  models,
  nn,
  randn,
  TensorDataset,
} from '../../src/index.ts'

export interface Soak {
  /** Pictures are here, in `train` and `valid`; what the training writes goes to `out`. */
  folder: string
  /** Training steps at least … */
  steps: number
  /** … and minutes at least. */
  minutes: number
  seed: number
}

/** What the process holds at the end of an epoch. */
export interface Sample {
  step: number
  /** Resident memory in bytes. */
  resident: number
  /** Of it, what V8 has for objects. */
  heap: number
  /** Live tensors, and their bytes. */
  tensors: number
  tensorBytes: number
  /** Open file descriptors. */
  files: number
  threads: number
}

const { folder, steps, minutes, seed }: Soak = JSON.parse(process.argv[2]!)
const path = join(folder, 'out')
const end = performance.now() + 60_000 * minutes
const collect = globalThis.gc
let step = 0

async function sample(): Promise<void> {
  // Finalizers run between macrotasks.
  for (let i = 0; collect && i < 2; i++) {
    collect()
    await new Promise(setImmediate)
  }
  const { tensors, bytesInUse } = memoryStats()
  const status = readFileSync('/proc/self/status', 'utf8')
  const now: Sample = {
    step,
    resident: 1024 * Number(/VmRSS:\s+(\d+)/.exec(status)![1]),
    heap: process.memoryUsage().heapTotal,
    tensors,
    tensorBytes: bytesInUse,
    files: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
  }
  writeSync(1, `${JSON.stringify(now)}\n`)
}

class Count extends Callback {
  override onStepEnd(_: EventContexts['onStepEnd']): undefined {
    step++
  }
  override async onEpochEnd(_: EventContexts['onEpochEnd']): Promise<undefined> {
    await sample()
  }
}

const around = () => [
  new CheckpointCallback({ every: 40, keepLast: 2, monitor: 'validLoss' }),
  new SaveModelCallback({ name: 'best' }),
  new EMACallback(),
  new CSVLogger(),
  new JSONLogger(),
  new TensorBoardLogger({ name: 'run' }),
]

manualSeed(seed)
const pictures = await ImageDataBunch.fromFolder(folder, {
  size: 24,
  batchSize: 8,
  transforms: getTransforms(),
  stats: imagenetStats,
  seed,
})
const learner = new Learner(pictures, models.simpleCnn([3, 8, 16, pictures.c], { batchNorm: true }), {
  metrics: [metrics.accuracy],
  path,
  silent: true,
})

/** Points and their squares: a learner that is made anew each time, trained, interrupted and resumed. */
async function onTensors(): Promise<void> {
  const x = randn([480, 10])
  const y = x.mul(x).sum(1, { keepdim: true })
  const data = DataBunch.create(new TensorDataset(x, y), new TensorDataset(x, y), { batchSize: 16, seed })
  const make = () =>
    new Learner(
      data,
      new nn.Sequential(
        new nn.Linear(10, 32),
        new nn.BatchNorm1d(32),
        new nn.ReLU(),
        new nn.Dropout(0.1),
        new nn.Linear(32, 1),
      ),
      { lossFunction: new nn.MSELoss(), metrics: [metrics.mae], path: join(path, 'points'), silent: true },
    )
  await make().fitOneCycle(2, { maxLr: 0.01, callbacks: [new Count(), ...around()] })
  const resumed = await Learner.resume('last', make())
  await resumed.fitOneCycle(2, { maxLr: 0.01, callbacks: around() }) // is at its end
  await resumed.validate()
  await resumed.predict(x.index(0))
}

while (step < steps || performance.now() < end) {
  await learner.fit(3, { callbacks: [new Count(), ...around()] })
  // The history is kept on purpose, 32 bytes a step, and each checkpoint writes all of it: it would be measured as growth.
  const { lrs, momentums, losses, rawLosses, epochs } = learner.recorder
  for (const list of [lrs, momentums, losses, rawLosses, epochs]) list.length = 0
  await learner.validate()
  await learner.getPredictions()
  await learner.predict(join(folder, 'valid', 'circle', '0000.jpg'))
  await onTensors()
  rmSync(path, { recursive: true, force: true })
}
