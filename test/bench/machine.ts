// What this machine can do, by the engine's own kernels: prints one JSON line.
import { randn, scope, synchronize, type Tensor } from '../../src/index.ts'
import type { Rates } from './ceiling.ts'

/** Seconds of the quickest of some runs: a ceiling is what nothing else got in the way of. */
async function quickest(runs: number, work: () => Tensor): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < runs; i++) {
    await scope(() => {
      synchronize()
      const start = performance.now()
      work()
      synchronize()
      best = Math.min(best, (performance.now() - start) / 1000)
    })
  }
  return best
}

const size = 2048
const [a, b] = [randn([size, size]), randn([size, size])]
const [low, lower] = [a.to('bfloat16'), b.to('bfloat16')]
const copied = randn([64, 1024, 1024])
const rates: Rates = {
  float32: (2 * size ** 3) / (await quickest(8, () => a.matmul(b))),
  bfloat16: (2 * size ** 3) / (await quickest(8, () => low.matmul(lower))),
  bandwidth: (2 * 4 * copied.numel) / (await quickest(6, () => copied.clone())),
}
console.log(JSON.stringify(rates))
