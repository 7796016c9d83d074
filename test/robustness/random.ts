/** Numbers in [0, 1). */
export type RandomNumbers = () => number

/** The same numbers for the same seed (mulberry32). */
export function randomNumbers(seed: number): RandomNumbers {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Those of one input of a run, wherever the run begins. */
export function numbersOf(seed: number, input: number): RandomNumbers {
  return randomNumbers(Math.imul(seed, 0x9e3779b1) ^ Math.imul(input + 1, 0x85ebca6b))
}
