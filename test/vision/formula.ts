import { noGrad, type Tensor, tensor } from '../../src/engine/index.ts'
import type * as nn from '../../src/nn/index.ts'

/** After so many numbers they come again. A prime, so that rows of a matrix differ. */
const PERIOD = 1_000_003

/** Numbers in [0, 1) that look random: a hash of the position, by 32-bit arithmetic. As test/fixtures/vision/formula.py. */
function uniform(stream: number, count: number, convert: (u: number) => number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(count)
  const offset = Math.imul(stream, 0x85ebca77)
  for (let i = 0; i < Math.min(count, PERIOD); i++) {
    let x = (Math.imul(i, 0x9e3779b1) + offset) | 0
    x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d)
    x = Math.imul(x ^ (x >>> 12), 0x297a2d39)
    values[i] = convert(((x ^ (x >>> 15)) >>> 0) / 2 ** 32)
  }
  for (let i = PERIOD; i < count; i *= 2) values.copyWithin(i, 0, i)
  return values
}

const countOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1)

/** Uniform in [-1, 1). */
export const inputs = (...shape: number[]): Tensor =>
  tensor(
    uniform(9999, countOf(shape), (u) => 2 * u - 1),
    { shape },
  )

/** A number for a name: FNV-1a. */
function streamOf(name: string): number {
  let value = 0x811c9dc5
  for (const byte of Buffer.from(name)) value = Math.imul(value ^ byte, 0x01000193) >>> 0
  return value
}

/** Gives every tensor of the model values by its name in the state dict: weights as wide as keeps activations in bounds. */
export function fill<Model extends nn.Module>(model: Model): Model {
  for (const [name, target] of Object.entries(model.stateDict())) {
    if (target.dtype !== 'float32') continue
    const { shape } = target
    const width = Math.sqrt(3 / countOf(shape.slice(1)))
    const convert = /(running_var|layer_scale|gamma)$/.test(name)
      ? (u: number) => 0.5 + u
      : shape.length > 1
        ? (u: number) => (2 * u - 1) * width
        : name.endsWith('weight')
          ? (u: number) => 0.5 + u
          : (u: number) => 0.4 * u - 0.2
    const values = tensor(uniform(streamOf(name), countOf(shape), convert), { shape })
    noGrad(() => target.copy_(values))
    values[Symbol.dispose]()
  }
  return model
}
