/**
 * Makes the calls of numbers `from` to `to` of a seed: `callProcess.ts FOLDER SEED FROM TO BATCH`, in FOLDER. The call under way stands
 * in the file `call`, so that a process that died tells of what; what was found is written to `findings`, a line of JSON each, and in
 * the end the counts to `done`.
 */
import { appendFileSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { isMainThread } from 'node:worker_threads'
import * as engine from '../../src/engine/index.ts'
import { engineState } from '../../src/engine/state.ts'
import { type Target, targetNames, targetOf } from './callTargets.ts'
import { Draw, Hostile } from './draw.ts'
import { numbersOf } from './random.ts'
import { knownStep } from './soundness.ts'

const [seed, from, to, batch] = process.argv.slice(2).map(Number) as [number, number, number, number]
const only = process.argv[6] === undefined || process.argv[6] === '' ? undefined : new RegExp(process.argv[6])
const verbose = process.argv[7] === 'verbose'
const collect = (globalThis as { gc?: () => void }).gc
if (!collect || !isMainThread) throw new Error('run with --expose-gc')

const log = openSync('call', 'w')
const counts: Record<string, number> = {}
const refused: Record<string, number> = {}
let current = 'nothing yet'
let number = from

/** What a call may throw: see the table in calls.ts. */
function judge(error: unknown): string | undefined {
  if (error instanceof Hostile || error === null || error === undefined) return undefined // thrown on purpose, by what was passed in
  if (!(error instanceof Error)) return `threw ${typeof error} ${String(error).slice(0, 200)}`
  if (error instanceof engine.AnnealError)
    return error.message === '' ? 'threw an error without a message' : undefined
  // Of the system or of Node, with a code to tell them by.
  if ('code' in error && typeof error.code === 'string') return undefined
  if (/^(TypeError|RangeError|SyntaxError)$/.test(error.name)) return undefined
  // Of a class that was passed in where a function was expected, by Node, which calls it.
  if (error.message.startsWith('Class constructor Anything')) return undefined
  if (/^Cancel/.test(error.constructor.name)) return undefined
  return `threw ${error.name}: ${error.message.slice(0, 200)} ${placeOf(error)}`
}

function placeOf(error: Error): string {
  const line = error.stack?.split('\n').find((text) => /\/(src|callbacks)\//.test(text))
  return (
    line
      ?.trim()
      .replace(/^at /, '')
      .replace(/\(?(file:\/\/)?\/.*\/(src|callbacks)\//, '$2/')
      .replace(/\)$/, '') ?? ''
  )
}

function find(kind: string, problem: string): void {
  appendFileSync('findings', `${JSON.stringify({ number, kind, call: current, problem })}\n`)
}

const raw = new Map<string, number>()
function outcome(error: unknown): void {
  const problem = judge(error)
  if (problem !== undefined) find('error', problem)
  if (error instanceof engine.AnnealError) refused.AnnealError = (refused.AnnealError ?? 0) + 1
  else if (error instanceof Error) {
    refused[error.name] = (refused[error.name] ?? 0) + 1
    const place = placeOf(error)
    if (!(error instanceof Hostile) && place !== '') {
      const key = `${error.name}: ${error.message.slice(0, 80)} at ${place}`
      if (!raw.has(key)) appendFileSync('raw', `${JSON.stringify({ number, call: current, key })}\n`)
      raw.set(key, (raw.get(key) ?? 0) + 1)
    }
  } else refused.other = (refused.other ?? 0) + 1
}

// What a callback, a getter or a promise throws that nobody waits for is theirs; anything else ended a process that did nothing wrong.
process.on('uncaughtException', (error) => {
  // Of a function that was passed in, or of a class in the place of one.
  const theirs = /\bplay \(/.test(String(error?.stack)) || /^Class constructor Anything/.test(error?.message)
  const allowed = error instanceof Hostile || error === null || theirs
  if (!allowed) {
    find('uncaught', `uncaught: ${String((error as Error)?.stack ?? error).slice(0, 500)}`)
  }
})
process.on('unhandledRejection', (error) => outcome(error))
process.on('warning', () => undefined)

function tell(): void {
  const text = `${number}\n${current}`.slice(0, 4000)
  writeSync(log, `${text}\n\0`, 0)
}

// Finalizers run between turns: some call the engine themselves.
const registry = new FinalizationRegistry<() => unknown>((act) => {
  try {
    act()
  } catch (error) {
    outcome(error)
  }
})

// Apart from the call, whose variables would be held else.
function afterwards(tensors: readonly engine.Tensor[]): () => void {
  const held = tensors.map((one) => new WeakRef(one))
  return () => {
    for (const one of held) one.deref()?.mul(2).dispose()
    engine.tensor([1, 2]).mul(2).dispose()
  }
}

let pending = 0

const stackTraceLimit = Error.stackTraceLimit

async function make(target: Target, draw: Draw): Promise<void> {
  // Node puts it to 0 while it makes errors of its own, and leaves it there when a getter throws meanwhile.
  Error.stackTraceLimit = stackTraceLimit
  current = `preparing ${target.name}`
  tell()
  let result: unknown
  const once = () => {
    const { text, run } = target.prepare(draw)
    current = text
    tell()
    if (verbose) process.stderr.write(`${number} ${text}\n`)
    return run()
  }
  let again = 0
  draw.callAgain = () => {
    if (again++ > 2) return undefined
    const { run } = target.prepare(draw)
    return run()
  }
  try {
    result = draw.chance(0.8) ? engine.scope(once) : once()
    if (draw.chance(0.01)) registry.register(draw, afterwards(draw.tensors.slice(0, 2)))
    if (result instanceof Promise) {
      pending++
      const settled = result.then(
        () => pending--,
        (error) => {
          pending--
          outcome(error)
        },
      )
      await Promise.race([settled, new Promise((resolve) => setTimeout(resolve, 300).unref())])
      // Timers that are not waited for do not keep the process.
      await nextTurn()
    }
  } catch (error) {
    outcome(error)
  }
  if (engineState().scope !== null || engineState().autocast !== null || !engine.isGradEnabled()) {
    find('state', `left ${JSON.stringify({ ...engineState(), scope: engineState().scope && 'a scope' })}`)
    Object.assign(engineState(), { scope: null, autocast: null, gradEnabled: true })
  }
  try {
    engine.setDefaultDevice('cpu')
    if (target.name === 'setNumThreads' || target.name === 'addon.setThreads') engine.setNumThreads(2)
  } catch (error) {
    find('state', String(error))
  }
}

async function settle(baseline: number): Promise<number> {
  let { tensors } = engine.memoryStats()
  for (let turn = 0; turn < 12; turn++) {
    collect?.()
    await nextTurn()
    tensors = engine.memoryStats().tensors
    if (tensors <= baseline && turn > 0) break
  }
  return tensors
}

const expected = knownStep()
writeFileSync('expected', expected)
const first = await settle(0)
let before = first
/** Batches after which there were more tensors than before them. */
const grown: { number: number; by: number }[] = []
// In a function of its own, so that nothing of the call is held when memory is counted.
async function next(): Promise<void> {
  const draw = new Draw(numbersOf(seed, number))
  const target = targetOf(number)
  if (only !== undefined && !only.test(target.name)) return
  counts[target.name] = (counts[target.name] ?? 0) + 1
  await make(target, draw)
}

for (number = from; number < to; number++) {
  await next()
  if ((number - from) % batch !== batch - 1 && number !== to - 1) continue
  try {
    try {
      engine.synchronize()
    } catch (error) {
      outcome(error) // of a kernel that failed
    }
    const found = knownStep()
    if (found !== expected) find('unsound', `the known step gives ${found}, not ${expected}`)
  } catch (error) {
    find('unsound', `the engine is unusable: ${String((error as Error).stack).slice(0, 500)}`)
  }
  const tensors = await settle(before)
  if (tensors > before) grown.push({ number, by: tensors - before })
  before = tensors
}
// What a promise holds that never settles is not lost.
for (let turn = 0; turn < 20 && pending > 0; turn++) await new Promise((resolve) => setTimeout(resolve, 100))
const left = (await settle(first)) - first
if (left > 0 && pending === 0) {
  for (const { number: end, by } of grown.slice(0, 20)) {
    number = end
    current = `the calls before ${end + 1}`
    find('leak', `${left} tensors are left of all, after these ${by} more than before`)
  }
}
writeFileSync('done', JSON.stringify({ counts, refused, raw: [...raw], targets: targetNames }))
process.exit(0)
