import process from 'node:process'
import { addon, type OpTime } from '../../src/engine/addon.ts'
import { scope, synchronize } from '../../src/index.ts'
import type { Case } from './cases.ts'

export interface Measurement {
  /** Milliseconds of each unit of work. */
  times: number[]
  /** The last one, as a check that the work was done. */
  loss: number
  peakMegabytes: number
  /** Of a hundred timers due every 5 ms while training, all but one fired with at most this delay in milliseconds. */
  timerDelay99?: number | null
  profile?: OpTime[]
}

/** Warms up, then measures the case's units of work, in this process. */
export async function measure({ prepare, steps, opsPerStep }: Case, profiled = false): Promise<Measurement> {
  const step = prepare()
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
  const warmUp = Math.max(2, Math.ceil(steps / 3))
  for (let i = -warmUp; i < steps; i++) {
    if (i === 0) {
      delays.length = 0
      if (profiled) addon.setProfiling(true)
    }
    const start = performance.now()
    let enqueued = start
    loss = await scope(async () => {
      const value = await step()
      enqueued = performance.now()
      return value
    })
    // An op's overhead ends where its kernel is enqueued.
    if (i >= 0) times.push((enqueued - start) / (opsPerStep ?? 1))
    if (opsPerStep) synchronize()
    await new Promise((resolve) => setImmediate(resolve))
  }
  clearInterval(timer)
  delays.sort((a, b) => a - b)
  const profile = profiled ? addon.profile() : undefined
  if (profiled) addon.setProfiling(false)
  return {
    times,
    loss,
    peakMegabytes: process.resourceUsage().maxRSS / 1024,
    // Ops in a row without a pause leave a timer no turn.
    timerDelay99: opsPerStep ? null : (delays[Math.floor(delays.length * 0.99)] ?? null),
    ...(profile && { profile }),
  }
}
