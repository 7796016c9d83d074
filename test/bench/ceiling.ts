// What a step of ResNet18's training cannot get below: the arithmetic of its convolutions at the rate of a large matrix
// product, and the bytes that its layers have to read and write at the rate of a large copy.
import type { Precision } from './cases.ts'

/** Operations a second of a large matrix product in either precision, bytes a second of a large copy (read and written). */
export interface Rates {
  float32: number
  bfloat16: number
  bandwidth: number
}

interface Convolution {
  input: number
  output: number
  weights: number
  multiplications: number
}

/** ResNet18's convolutions for one picture of `size` pixels a side. */
export function resnet18Convolutions(size: number): Convolution[] {
  const list: Convolution[] = []
  const add = (from: number, to: number, kernel: number, stride: number, side: number): number => {
    const after = Math.ceil(side / stride)
    const weights = from * to * kernel * kernel
    list.push({
      input: from * side * side,
      output: to * after * after,
      weights,
      multiplications: weights * after * after,
    })
    return after
  }
  let side = Math.ceil(add(3, 64, 7, 2, size) / 2)
  let channels = 64
  for (const width of [64, 128, 256, 512]) {
    for (let block = 0; block < 2; block++) {
      const stride = block === 0 && width > 64 ? 2 : 1
      if (stride > 1) add(channels, width, 1, stride, side)
      side = add(channels, width, 3, stride, side)
      add(width, width, 3, 1, side)
      channels = width
    }
  }
  return list
}

/** Operations and bytes of one training step. */
export function resnet18Step(batch: number, size: number, dtype: Precision) {
  let [operations, values, weights] = [0, 0, 0]
  for (const [i, layer] of resnet18Convolutions(size).entries()) {
    // Forward and both gradients; nobody asks for that of the picture itself.
    operations += 2 * batch * layer.multiplications * (i === 0 ? 2 : 3)
    // Each of these passes reads one side and writes or reads the other. The norm behind reads its data twice and writes it
    // once; its gradient reads two of them twice and writes one.
    values += batch * (3 * (layer.input + layer.output) + 8 * layer.output)
    weights += layer.weights
  }
  // Weights are read by two passes, their gradient is written by one; the optimizer reads three arrays and writes two.
  return { operations, bytes: (dtype === 'bfloat16' ? 2 : 4) * values + 4 * 8 * weights }
}

export interface Ceiling {
  gigaOperations: number
  gigabytes: number
  /** Milliseconds at the measured rates. */
  arithmetic: number
  memory: number
}

export function ceilingOf(batch: number, size: number, dtype: Precision, rates: Rates): Ceiling {
  const { operations, bytes } = resnet18Step(batch, size, dtype)
  return {
    gigaOperations: operations / 1e9,
    gigabytes: bytes / 1e9,
    arithmetic: (1000 * operations) / rates[dtype],
    memory: (1000 * bytes) / rates.bandwidth,
  }
}
