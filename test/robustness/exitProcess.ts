/**
 * A process that leaves in the middle of something: `exitProcess.ts '{"moment":"backward","way":"exit",…}'`, see `Leaving`. Where a
 * worker leaves, or is ended, the main thread then checks that it can still use the engine and ends with what the worker ended with.
 */
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import {
  Callback,
  DataLoader,
  type EventContexts,
  F,
  ImageDataBunch,
  Learner,
  manualSeed,
  nn,
  optim,
  randn,
  transforms as T,
  type Tensor,
  TensorDataset,
  tensor,
} from '../../src/index.ts'

export interface Leaving {
  /** What is left in the middle. */
  moment: 'forward' | 'backward' | 'step' | 'queue' | 'prefetch' | 'read' | 'checkpoint' | 'fit'
  /** How: `process.exit`, from the handler of a signal too, an error that is not caught, or nothing more to do. */
  way: 'exit' | 'reallyExit' | 'SIGINT' | 'SIGTERM' | 'throw' | 'caught' | 'end'
  /** Who: the main thread, alone or beside two workers that are in the middle of the same; a worker, or one that is ended. */
  place: 'main' | 'beside' | 'worker' | 'terminated'
  /** How long after the moment, in milliseconds. */
  delay: number
  /** What to end with. */
  code: number
  /** Pictures are here, in `train` and `valid`, and checkpoints are written here. */
  folder: string
}

type Leave = () => void | Promise<void>

class Net extends nn.Module {
  first = new nn.Conv2d(3, 16, 3, { padding: 1 })
  norm = new nn.BatchNorm2d(16)
  second = new nn.Conv2d(16, 16, 3, { padding: 1 })
  head = new nn.Linear(16, 6)
  forward(x: Tensor) {
    x = F.relu(this.norm.forward(this.first.forward(x)))
    return this.head.forward(F.relu(this.second.forward(x)).mean([2, 3]))
  }
}

/** The loop of a training by hand, with something to do at each step. */
async function steps(at: 'forward' | 'backward' | 'step', leave: Leave): Promise<void> {
  const net = new Net()
  const optimizer = new optim.Adam(net.parameters(), { lr: 1e-3 })
  const x = randn([8, 3, 64, 64])
  const y = tensor([0, 1, 2, 3, 4, 5, 0, 1], { dtype: 'int64' })
  for (let step = 0; ; step++) {
    const reached = async (name: string) => {
      if (step >= 2 && name === at) await leave()
    }
    optimizer.zeroGrad()
    const loss = F.crossEntropy(net.forward(x), y)
    await reached('forward')
    loss.backward()
    await reached('backward')
    optimizer.step()
    await reached('step')
    await new Promise(setImmediate)
  }
}

function learnerOf(data: ConstructorParameters<typeof Learner>[0], folder: string): Learner {
  return new Learner(data, new Net(), { path: folder, lossFunction: new nn.CrossEntropyLoss(), silent: true })
}

const pictures = (folder: string) =>
  ImageDataBunch.fromFolder(folder, {
    size: 64,
    batchSize: 4,
    transforms: { train: [T.randomHorizontalFlip(), T.randomResizedCrop(64)], valid: [] },
    workers: 4,
    seed: 1,
  })

const inTheMiddle: Record<Leaving['moment'], (leave: Leave, folder: string) => Promise<void>> = {
  forward: (leave) => steps('forward', leave),
  backward: (leave) => steps('backward', leave),
  step: (leave) => steps('step', leave),

  // JavaScript is as far ahead as it can get, and the queue takes longer than anybody would wait.
  async queue(leave) {
    let x = randn([1000, 1000])
    const factor = randn([1000, 1000]).mul(0.03)
    for (let i = 0; i < 4000; i++) {
      const next = x.matmul(factor)
      x.dispose()
      x = next
    }
    await leave()
    await x.data()
  },

  async prefetch(leave, folder) {
    const data = await pictures(folder)
    for (;;) {
      for await (const { x } of data.trainDl) {
        x.mean()
        await leave()
      }
    }
  },

  async read(leave) {
    const factor = randn([600, 600]).mul(0.04)
    for (let step = 0; ; step++) {
      const product = factor.matmul(factor).matmul(factor)
      const reading = Promise.all([product.data(), product.sum().data(), factor.bytes()])
      if (step >= 2) await leave()
      await reading
    }
  },

  async checkpoint(leave, folder) {
    const x = randn([64, 3, 8, 8])
    const data = new DataLoader(new TensorDataset(x, tensor(Array(64).fill(1), { dtype: 'int64' })), {
      batchSize: 16,
      seed: 1,
    })
    const learner = learnerOf({ trainDl: data, validDl: null }, folder)
    await learner.fit(1)
    for (let step = 0; ; step++) {
      const written = learner.save(`left-${process.pid}`)
      if (step >= 1) await leave()
      await written
    }
  },

  async fit(leave, folder) {
    const learner = learnerOf(await pictures(folder), folder)
    class LeaveAtSixth extends Callback {
      override onBackwardBegin({ iteration }: EventContexts['onBackwardBegin']) {
        return iteration === 6 ? (leave() as Promise<undefined>) : undefined
      }
    }
    await learner.fit(1000, { callbacks: [new LeaveAtSixth()] })
  },
}

/** Keeps the thread busy, so that the engine alone goes on. */
function busy(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

/** What is alive when there is nothing left to do. */
const alive: unknown[] = []

async function run({ moment, way, place, delay, code, folder }: Leaving): Promise<void> {
  manualSeed(1)
  const workers = isMainThread && place === 'beside' ? [startWorker('beside'), startWorker('beside')] : []
  if (workers.length > 0) await Promise.all(workers.map((worker) => once(worker, 'message')))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    if (isMainThread) process.on(signal, () => process.exit(code))
  }
  if (way === 'caught') process.on('uncaughtException', () => process.exit(code))
  await inTheMiddle[moment](async () => {
    if (place === 'terminated' || (place === 'beside' && !isMainThread)) {
      parentPort!.postMessage('in the middle')
      return
    }
    busy(delay)
    if (way === 'exit') process.exit(code)
    if (way === 'reallyExit')
      (process as typeof process & { reallyExit(code: number): never }).reallyExit(code)
    if (way === 'throw' || way === 'caught') throw new Error('on purpose')
    if (way === 'SIGINT' || way === 'SIGTERM') process.kill(process.pid, way)
    if (way === 'end') {
      process.exitCode = code
      alive.push(randn([100]), randn([100], { requiresGrad: true }).exp())
      for (const worker of workers) worker.unref()
      await new Promise(() => {})
    }
  }, folder)
}

const startWorker = (place: Leaving['place']) =>
  new Worker(new URL(import.meta.url), { workerData: { ...leaving, place } })

const leaving: Leaving = isMainThread ? JSON.parse(process.argv[2]!) : workerData
if (!isMainThread || leaving.place === 'main' || leaving.place === 'beside') {
  run(leaving)
} else {
  const worker = startWorker(leaving.place)
  worker.on('error', (error) => {
    if (error.message !== 'on purpose') throw error
  })
  worker.once('message', () => setTimeout(() => worker.terminate(), leaving.delay))
  const code = await new Promise<number>((resolve) => worker.on('exit', resolve))
  const x = tensor([1, 2, 3], { requiresGrad: true })
  x.square().sum().backward()
  if (String(await x.grad!.data()) !== '2,4,6')
    throw new Error(`wrong numbers after a worker's end: ${x.grad}`)
  process.exitCode = code
}
