import { randint } from '../engine/index.ts'

/** A seed drawn from the engine's generator, so that `manualSeed` settles it. */
export function drawSeed(): number {
  const drawn = randint(0, 2 ** 31 - 1, [1])
  const seed = drawn.item()
  drawn.dispose()
  return seed
}
