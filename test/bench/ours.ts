// Runs one case and prints one JSON line: the milliseconds of each unit of work, the last loss, peak memory.
import process from 'node:process'
import { addon } from '../../src/engine/addon.ts'
import { scope, synchronize } from '../../src/index.ts'
import { cases } from './cases.ts'

const name = process.argv[2] ?? ''
const chosen = cases[name]
if (!chosen) throw new Error(`no case is called ${JSON.stringify(name)}`)
const step = chosen.prepare()

const delays: number[] = []
let expected = performance.now() + 5
const timer = setInterval(() => {
  const now = performance.now()
  delays.push(Math.max(0, now - expected))
  expected = now + 5
}, 5)

const times: number[] = []
let loss = 0
// V8 compiles what has run some hundred times: a run of real length hardly knows the time before that.
const warmUp = Math.max(2, Math.ceil(chosen.steps / 3))
for (let i = -warmUp; i < chosen.steps; i++) {
  if (i === 0 && process.env.ANNEAL_BENCH_PROFILE) addon.setProfiling(true)
  const start = performance.now()
  let enqueued = start
  loss = await scope(async () => {
    const value = await step()
    enqueued = performance.now()
    return value
  })
  // An op's overhead ends where its kernel is enqueued.
  if (i >= 0) times.push((enqueued - start) / (chosen.opsPerStep ?? 1))
  if (chosen.opsPerStep) synchronize()
  await new Promise((resolve) => setImmediate(resolve))
}
clearInterval(timer)
delays.sort((a, b) => a - b)
const profile = process.env.ANNEAL_BENCH_PROFILE ? addon.profile() : undefined
console.log(
  JSON.stringify({
    times,
    loss,
    peakMegabytes: process.resourceUsage().maxRSS / 1024,
    timerDelay99: delays[Math.floor(delays.length * 0.99)] ?? null,
    profile,
  }),
)
