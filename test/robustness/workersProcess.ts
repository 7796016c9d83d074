/**
 * Workers that use the engine: `workersProcess.ts SCENARIO [COUNT]` writes what came of it as one line of JSON. The main thread is a
 * plain Node's, so that workers are the first to load the engine unless the scenario says otherwise.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { addonFile } from '../../src/engine/addonFile.ts'

type Task =
  /** Trains, and tells the digest of the weights. */
  | 'train'
  /** Fails: in a kernel, in a call, and with an error that nobody catches. */
  | 'fail'
  /** Leaves tensors behind, and work in the queue. */
  | 'leave'
  /** Trains until it is ended. */
  | 'endless'

interface Ended {
  task: Task
  code: number
  said?: string
  error?: string
}

async function train(seed: number, steps = 6): Promise<string> {
  const { manualSeed, randn } = await import('../../src/engine/index.ts')
  const nn = await import('../../src/nn/index.ts')
  const { Adam } = await import('../../src/optim/index.ts')
  const lossFunction = new nn.MSELoss()
  manualSeed(seed)
  const net = new nn.Sequential(
    new nn.Conv2d(3, 8, 3),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
    new nn.Dropout(0.2),
    new nn.Flatten(),
    new nn.Linear(8 * 30 * 30, 4),
  )
  const optimizer = new Adam(net.parameters(), { lr: 0.01 })
  const x = randn([16, 3, 32, 32])
  const y = randn([16, 4])
  for (let step = 0; step < steps; step++) {
    optimizer.zeroGrad()
    lossFunction.forward(net.forward(x), y).backward()
    optimizer.step()
    await new Promise(setImmediate)
  }
  const digest = createHash('sha256')
  for (const tensor of Object.values(net.stateDict())) digest.update(await tensor.bytes())
  return digest.digest('hex')
}

async function work(task: Task, seed: number): Promise<void> {
  if (task === 'train') parentPort!.postMessage(await train(seed))
  if (task === 'endless') {
    parentPort!.postMessage('begun')
    await train(seed, Number.POSITIVE_INFINITY)
  }
  const { oneHot, randn, tensor, zeros } = await import('../../src/engine/index.ts')
  if (task === 'leave') {
    Object.assign(globalThis, { alive: randn([1000, 1000]) })
    let x = randn([500, 500])
    for (let i = 0; i < 300; i++) x = x.matmul(x)
    void x.data()
    parentPort!.postMessage('left')
  }
  if (task === 'fail') {
    const failures: string[] = []
    try {
      zeros([2, 3]).matmul(zeros([2, 3]))
    } catch (error) {
      failures.push((error as Error).name)
    }
    await oneHot(tensor([0, 7], { dtype: 'int64' }), 3)
      .data()
      .catch((error) => failures.push(error.name))
    oneHot(tensor([0, 9], { dtype: 'int64' }), 3) // nobody will read it
    parentPort!.postMessage(failures.join())
    setTimeout(() => {
      throw new Error('on purpose')
    }, 5)
  }
}

function start(task: Task, seed = 5): Promise<Ended> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { task, seed } })
  const ended: Ended = { task, code: -1 }
  worker.on('message', (said) => {
    ended.said = said
    if (task === 'endless') setTimeout(() => worker.terminate(), 5 * Math.random())
    // A reading keeps a worker alive, work in its queue does not.
    if (task === 'leave') worker.terminate()
  })
  worker.on('error', (error) => {
    ended.error = error.message
  })
  return new Promise((resolve) => worker.on('exit', (code) => resolve({ ...ended, code })))
}

/**
 * A worker that loads the add-on and is ended `delay` milliseconds after it has begun to; whether it had loaded it by then. They
 * agree by shared numbers: a message arrives later than that.
 */
async function endWhileLoading(file: string, delay: number): Promise<boolean> {
  const stage = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(
    `const { workerData: { file, stage } } = require('node:worker_threads')
    Atomics.store(stage, 0, 1)
    process.dlopen({ exports: {} }, file)
    Atomics.store(stage, 0, 2)
    setTimeout(() => {}, 60_000)`,
    { eval: true, workerData: { file, stage } },
  )
  const ended = new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject))
  await new Promise((resolve) => worker.on('online', resolve))
  while (Atomics.load(stage, 0) === 0);
  const end = performance.now() + delay
  while (performance.now() < end);
  const loaded = Atomics.load(stage, 0) === 2
  void worker.terminate()
  await ended
  return loaded
}

const held = () => ({
  resident: 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]),
  files: readdirSync('/proc/self/fd').length,
  threads: readdirSync('/proc/self/task').length,
})

/** What is held once that has come to rest: the threads of an engine's team end a little after its worker. */
async function settled() {
  for (let last = held(); ; ) {
    await sleep(50)
    const now = held()
    if (now.threads === last.threads) return now
    last = now
  }
}

const scenarios: Record<string, (count: number) => Promise<unknown>> = {
  /** Several at once, beside a main thread that trains too. */
  async together(count) {
    const workers = Array.from({ length: count }, () => start('train'))
    const [main, ...others] = await Promise.all([train(5), ...workers])
    return { main, others, otherSeed: await train(6) }
  },
  /** Some train, others fail, leave things behind or are ended meanwhile. */
  async apart(count) {
    const others = (['fail', 'endless', 'leave'] as const).map((task) => start(task))
    const trained = await Promise.all(Array.from({ length: count }, () => start('train')))
    return { trained, others: await Promise.all(others), main: await train(5) }
  },
  /** One after the other, each ended a little later than the one before, most of them before the engine has loaded. */
  async loading(count) {
    const file = process.env.ANNEAL_ADDON ?? addonFile(fileURLToPath(new URL('Release', import.meta.url)))
    let loaded = 0
    for (let i = 0; i < count; i++) loaded += Number(await endWhileLoading(file, i / count))
    return { loaded, main: await train(5) }
  },
  /** One after the other; what the process holds after a fifth of them, and in the end. */
  async churn(count) {
    const tasks = ['train', 'endless', 'leave', 'fail'] as const
    const ended: Ended[] = []
    let before = held()
    for (let i = 0; i < count; i++) {
      if (i === Math.floor(count / 5)) before = await settled()
      ended.push(await start(tasks[i % tasks.length]!))
    }
    return { before, after: await settled(), ended }
  },
}

if (isMainThread) {
  const [scenario = '', count = '1'] = process.argv.slice(2)
  writeSync(1, JSON.stringify(await scenarios[scenario]!(Number(count))))
} else {
  work(workerData.task, workerData.seed)
}
