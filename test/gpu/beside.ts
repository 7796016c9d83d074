import { expect } from 'vitest'
import { type DType, randn, type Tensor } from '../../src/engine/index.ts'

/** By how much results may differ, relative to the largest of them: some roundings of the dtype. */
const tolerances: Partial<Record<DType, number>> = {
  float64: 1e-12,
  float32: 1e-5,
  float16: 4e-3,
  bfloat16: 2e-2,
}

function expectAlike(actual: Tensor, expected: Tensor, what: string): void {
  expect(actual.device, what).toBe('cuda:0')
  expect(actual.shape, what).toEqual(expected.shape)
  expect(actual.dtype, what).toBe(expected.dtype)
  const a = [...actual.to('float64').dataSync()]
  const b = [...expected.to('float64').dataSync()]
  const largest = b.filter(Number.isFinite).reduce((most, x) => Math.max(most, Math.abs(x)), 0)
  const allowed = (tolerances[expected.dtype] ?? 0) * largest
  let worst = 0
  for (let i = 0; i < b.length; i++) {
    if (Number.isFinite(b[i]))
      worst = Math.max(worst, Number.isNaN(a[i]) ? Infinity : Math.abs(a[i]! - b[i]!))
    else expect(a[i], `${what}, element ${i}`).toBe(b[i])
  }
  expect(worst, `${what}: the largest distance`).toBeLessThanOrEqual(allowed)
}

/** Runs `f` and its gradients on the processor and on the GPU, from the same values, and compares all that comes out. */
export function compareDevices(
  what: string,
  f: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
): void {
  const here = inputs.map((input) => input.detach())
  const there = inputs.map((input) => input.detach().to('cuda'))
  for (const [i, input] of inputs.entries()) {
    if (!input.requiresGrad) continue
    here[i]!.requiresGrad_()
    there[i]!.requiresGrad_()
  }
  const expected = f(...here)
  const actual = f(...there)
  expectAlike(actual.detach(), expected.detach(), what)
  if (!expected.requiresGrad) return
  const upstream = randn(expected.shape, { device: 'cpu' }).to(expected.dtype)
  expected.backward({ gradient: upstream })
  actual.backward({ gradient: upstream.to('cuda') })
  for (const [i, input] of here.entries()) {
    if (input.requiresGrad) expectAlike(there[i]!.grad!, input.grad!, `${what}, gradient ${i}`)
  }
}
