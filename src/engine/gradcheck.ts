import { enableGrad, grad, noGrad } from './autograd.ts'
import { requireFunction, requireNumber, requireOptions, requireTensor, show } from './check.ts'
import { AutogradError } from './errors.ts'
import { tensor } from './ops/create.ts'
import { cat } from './ops/indexing.ts'
import { scope } from './scope.ts'
import type { Tensor } from './tensor.ts'

export interface GradcheckOptions {
  /** Step of the central differences. Default 1e-6. */
  eps?: number | undefined
  /** Absolute tolerance. Default 1e-5. */
  atol?: number | undefined
  /** Relative tolerance. Default 1e-3. */
  rtol?: number | undefined
}

/**
 * Compares the gradients of `fn` with central differences, element by element, in float64. Outputs of any shape are
 * weighted by fixed different numbers, so that no element can hide behind another.
 * @throws AutogradError naming the input, the element and both values where they differ. Returns true otherwise.
 */
export function gradcheck(
  fn: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): boolean {
  requireFunction('gradcheck', 'first argument', fn)
  requireOptions('gradcheck', options, ['eps', 'atol', 'rtol'])
  if (!Array.isArray(inputs))
    throw new AutogradError(`gradcheck: expected a list of tensors, got ${show(inputs)}`)
  for (const input of inputs) requireTensor('gradcheck', 'input', input)
  const { eps = 1e-6, atol = 1e-5, rtol = 1e-3 } = options
  for (const [name, value] of Object.entries({ eps, atol, rtol })) requireNumber('gradcheck', name, value)
  const values = inputs.map((input) => Float64Array.from(input.dataSync()))
  const make = (track: boolean) =>
    inputs.map((input, i) =>
      input.dtype === 'float64'
        ? tensor(values[i] as Float64Array, {
            shape: input.shape,
            requiresGrad: track && input.requiresGrad,
            device: input.device,
          })
        : input,
    )
  const checked = inputs.filter((input) => input.requiresGrad)
  if (checked.length === 0) throw new AutogradError('gradcheck: no input requires gradients')
  for (const input of checked) {
    if (input.dtype !== 'float64')
      throw new AutogradError(`gradcheck: inputs must be float64, got ${input.dtype}`)
  }
  const weighted = (out: Tensor) => {
    requireTensor('gradcheck', 'result of the function', out)
    const weights = Float64Array.from({ length: out.numel }, (_, i) => Math.cos(1 + i * 0.7) + 0.1)
    return out.mul(tensor(weights, { shape: out.shape, device: out.device })).sum()
  }
  const tracked = make(true)
  weighted(fn(...tracked)).backward()
  const measure = () => noGrad(() => scope(() => weighted(fn(...make(false))).item()))
  tracked.forEach((input, i) => {
    if (!input.requiresGrad) return
    const analytic = input.grad?.dataSync()
    const data = values[i] as Float64Array
    for (let k = 0; k < data.length; k++) {
      const before = data[k] as number
      data[k] = before + eps
      const above = measure()
      data[k] = before - eps
      const below = measure()
      data[k] = before
      const numeric = (above - below) / (2 * eps)
      const given = analytic?.[k] ?? 0
      if (!(Math.abs(given - numeric) <= atol + rtol * Math.abs(numeric))) {
        throw new AutogradError(
          `gradcheck: input ${i}, element ${k}: the gradient is ${given}, central differences give ${numeric}`,
        )
      }
    }
  })
  return true
}

/**
 * As {@link gradcheck}, of the gradient itself: compares the gradients of `grad(fn(…inputs), inputs, { createGraph: true })`,
 * with respect to the inputs and to the gradient of the output, with central differences.
 * @throws AutogradError naming the input (the last is the gradient of the output), the element and both values where they differ,
 * or the operation that createGraph does not reach through. Returns true otherwise.
 */
export function gradgradcheck(
  fn: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): boolean {
  requireFunction('gradgradcheck', 'first argument', fn)
  if (!Array.isArray(inputs))
    throw new AutogradError(`gradgradcheck: expected a list of tensors, got ${show(inputs)}`)
  for (const input of inputs) requireTensor('gradgradcheck', 'input', input)
  const wanted = inputs.map(({ requiresGrad }) => requiresGrad)
  const out = noGrad(() => fn(...inputs))
  const weights = Float64Array.from({ length: out.numel }, (_, i) => Math.sin(2 + i * 1.3) + 0.2)
  const seed = tensor(weights, { shape: out.shape, requiresGrad: true })
  // Differences are measured without gradients, which the first ones need all the same.
  const gradients = (...given: Tensor[]) =>
    enableGrad(() => {
      const leaves = given.map((x, i) => (wanted[i] && !x.requiresGrad ? x.detach().requiresGrad_() : x))
      const gradient = leaves.pop() as Tensor
      const found = grad(
        fn(...leaves),
        leaves.filter((_, i) => wanted[i]),
        {
          gradOutputs: [gradient],
          createGraph: true,
          allowUnused: true,
        },
      )
      const flat = found.map((each, i) => each?.flatten() ?? zerosOf(inputs.filter((_, j) => wanted[j])[i]))
      return cat(flat as Tensor[])
    })
  return gradcheck(gradients, [...inputs, seed], options)
}

function zerosOf(input: Tensor | undefined): Tensor {
  return tensor(new Float64Array(input?.numel ?? 0))
}
