import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { type DType, type Tensor, tensor } from '../../src/engine/index.ts'

/** A tensor as test/fixtures/fixture_format.py writes it: small ones as values, large ones as little-endian bytes. */
export interface EncodedTensor {
  dtype: DType
  shape: number[]
  values?: number[]
  base64?: string
}

/** What tells large tensors apart. */
export interface Summary {
  shape: number[]
  sum: number
  absoluteSum: number
  first: EncodedTensor
  last: EncodedTensor
}

/** A tensor of a fixture, whole or in summary. */
export interface ValueOrSummary {
  value?: EncodedTensor
  summary?: Summary
}

export function loadFixture<Content>(name: string): Content {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}.json`, import.meta.url), 'utf8')) as Content
}

export function numbersOf({ dtype, values, base64 }: EncodedTensor): number[] {
  // Listed float32 values are the shortest decimals that round to them.
  if (values) return dtype === 'float32' ? values.map(Math.fround) : values
  if (base64 === undefined) throw new Error('the fixture holds neither values nor bytes')
  const bytes = new Uint8Array(Buffer.from(base64, 'base64'))
  if (dtype === 'float32') return Array.from(new Float32Array(bytes.buffer))
  if (dtype === 'float64') return Array.from(new Float64Array(bytes.buffer))
  if (dtype === 'int64') return Array.from(new BigInt64Array(bytes.buffer), Number)
  if (dtype === 'bool' || dtype === 'uint8') return Array.from(bytes)
  throw new Error(`fixtures hold no bytes of ${dtype}`)
}

export function tensorOf(
  encoded: EncodedTensor,
  options: { dtype?: DType; requiresGrad?: boolean } = {},
): Tensor {
  const { dtype = encoded.dtype, requiresGrad = false } = options
  return tensor(numbersOf(encoded), { shape: encoded.shape, dtype, requiresGrad })
}

export function isFloating(dtype: DType): boolean {
  return dtype.startsWith('float') || dtype === 'bfloat16'
}

/** The values of a tensor, in logical order. */
export function valuesOf(actual: Tensor): number[] {
  return Array.from(actual.dataSync() as Iterable<number | bigint | boolean>, Number)
}

/**
 * Compares with an error relative to each value, or to the typical size (root mean square) of all where a value is smaller: sums
 * that nearly cancel have no more digits than their parts. `floor` is the smallest size that counts.
 */
export function expectValues(
  actual: readonly number[],
  expected: readonly number[],
  tolerance: number,
  label: string,
  floor = 1e-3,
): void {
  expect(actual.length, `${label}: number of values`).toBe(expected.length)
  if (expected.length === 0) return
  const typical = Math.max(
    floor,
    Math.sqrt(expected.reduce((sum, value) => sum + value * value, 0) / expected.length),
  )
  let worst = 0
  let at = 0
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!) / Math.max(typical, Math.abs(expected[i]!))
    if (!(error <= worst)) [worst, at] = [error, i]
    if (Number.isNaN(error)) break
  }
  if (!(worst <= tolerance)) {
    expect.fail(
      `${label}: value ${at} of ${expected.length} is ${actual[at]}, PyTorch has ${expected[at]}; ` +
        `relative error ${worst.toExponential(2)}, allowed ${tolerance}`,
    )
  }
}

export function expectTensor(
  actual: Tensor,
  expected: EncodedTensor,
  tolerance: number,
  label: string,
): void {
  expect([...actual.shape], `${label}: shape`).toEqual(expected.shape)
  expectValues(valuesOf(actual), numbersOf(expected), tolerance, label)
}

/** Sums may be off by the tolerance for each of their terms. */
export function expectSummary(actual: Tensor, expected: Summary, tolerance: number, label: string): void {
  expect([...actual.shape], `${label}: shape`).toEqual(expected.shape)
  const values = valuesOf(actual)
  const count = expected.first.shape[0]!
  expectValues(values.slice(0, count), numbersOf(expected.first), tolerance, `${label}, first values`)
  expectValues(values.slice(-count), numbersOf(expected.last), tolerance, `${label}, last values`)
  const sum = values.reduce((total, value) => total + value, 0)
  const absoluteSum = values.reduce((total, value) => total + Math.abs(value), 0)
  const allowed = tolerance * expected.absoluteSum
  expect(Math.abs(sum - expected.sum), `${label}: sum ${sum} against ${expected.sum}`).toBeLessThanOrEqual(
    allowed,
  )
  expect(
    Math.abs(absoluteSum - expected.absoluteSum),
    `${label}: sum of sizes ${absoluteSum} against ${expected.absoluteSum}`,
  ).toBeLessThanOrEqual(allowed)
}

export function expectValueOrSummary(
  actual: Tensor,
  expected: ValueOrSummary,
  tolerance: number,
  label: string,
): void {
  if (expected.summary) expectSummary(actual, expected.summary, tolerance, label)
  else expectTensor(actual, expected.value!, tolerance, label)
}
