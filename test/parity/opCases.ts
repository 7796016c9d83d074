import { describe, expect, it } from 'vitest'
import { channelsLast, type DType, stack, type Tensor, zerosLike } from '../../src/engine/index.ts'
import {
  type EncodedTensor,
  expectTensor,
  isFloating,
  loadFixture,
  numbersOf,
  tensorOf,
  valuesOf,
} from './fixtures.ts'

export type Pair = number | [number, number]

/** Arguments of all cases together; a case has those of its op. */
export interface Arguments {
  dim?: number | number[]
  dims?: number[]
  keepdim?: boolean
  correction?: number
  q?: number | number[]
  interpolation?: 'linear' | 'lower' | 'higher' | 'midpoint' | 'nearest'
  shape?: number[]
  index?: (number | string | null)[] | number
  accumulate?: boolean
  /** The shape to which the first input is expanded before the call. */
  expandTo?: number[]
  equation?: string
  infiniteP?: 1 | -1
  largest?: boolean
  alpha?: number
  shifts?: number | number[]
  padMode?: 'reflect' | 'replicate' | 'circular'
  count?: number
  sizes?: number[]
  start?: number
  length?: number
  startDim?: number
  exponent?: number
  scalar?: number
  min?: number
  max?: number
  negativeSlope?: number
  k?: number
  descending?: boolean
  p?: number
  value?: number
  paddingIndex?: number
  numClasses?: number
  chunks?: number
  size?: number | [number, number]
  repeats?: number[]
  diagonal?: number
  minlength?: number
  reduction?: 'none' | 'mean' | 'sum'
  labelSmoothing?: number
  ignoreIndex?: number
  logTarget?: boolean
  third?: 'weight' | 'posWeight'
  beta?: number
  delta?: number
  margin?: number
  swap?: boolean
  kernelSize?: Pair
  stride?: Pair
  padding?: Pair | number[] | 'same' | 'valid'
  outputPadding?: Pair
  dilation?: Pair
  groups?: number
  ceilMode?: boolean
  countIncludePad?: boolean
  outputSize?: Pair
  scaleFactor?: Pair
  mode?: 'nearest' | 'bilinear'
  alignCorners?: boolean
  recomputeScaleFactor?: boolean
  paddingMode?: 'zeros' | 'border' | 'reflection'
  upscaleFactor?: number
  momentum?: number
  epsilon?: number
  training?: boolean
  normalizedShape?: number[]
  numGroups?: number
}

/** How one op of the fixtures is called here. */
export type Call = (inputs: Tensor[], given: Arguments) => Tensor | Tensor[]

export type Table = Record<string, Call>

/** Calls with one, two and three inputs. */
export const one =
  (call: (x: Tensor, given: Arguments) => Tensor | Tensor[]): Call =>
  ([x], given) =>
    call(x!, given)

export const two =
  (call: (a: Tensor, b: Tensor, given: Arguments) => Tensor | Tensor[]): Call =>
  ([a, b], given) =>
    call(a!, b!, given)

export const three =
  (call: (a: Tensor, b: Tensor, c: Tensor | undefined, given: Arguments) => Tensor | Tensor[]): Call =>
  ([a, b, c], given) =>
    call(a!, b!, c, given)

interface OpCase {
  name: string
  op: string
  inputs: EncodedTensor[]
  arguments: Arguments
  outputs: EncodedTensor[]
  /** Weights of the floating outputs in the sum whose gradients are stored; absent where PyTorch gives none. */
  gradOutputs?: EncodedTensor[]
  gradients?: (EncodedTensor | null)[]
}

/** How the values of an input lie in memory: results must not depend on it. */
type Layout = 'row-major' | 'channels-last' | 'reversed' | 'sliced'

interface Variant {
  dtype: DType
  /** Allowed relative error; the fixtures hold float64 results for float32 inputs. */
  tolerance: number
  layout: Layout
  /** Whether the variant says anything new about a case. */
  applies(each: OpCase): boolean
}

const variants: Variant[] = [
  { dtype: 'float32', tolerance: 1e-5, layout: 'row-major', applies: () => true },
  { dtype: 'float64', tolerance: 1e-10, layout: 'row-major', applies: () => true },
  { dtype: 'float32', tolerance: 1e-5, layout: 'channels-last', applies: (each) => largestRank(each) === 4 },
  { dtype: 'float32', tolerance: 1e-5, layout: 'reversed', applies: (each) => largestRank(each) > 1 },
  { dtype: 'float32', tolerance: 1e-5, layout: 'sliced', applies: () => true },
]

function largestRank({ inputs }: OpCase): number {
  return Math.max(...inputs.map(({ shape }) => shape.length))
}

/** The same values, a leaf again, with strides in another order. */
function arrange(x: Tensor, layout: Layout): Tensor {
  if (layout === 'channels-last' && x.ndim === 4) return channelsLast(x).detach()
  if (layout === 'reversed' && x.ndim > 1) {
    const order = x.shape.map((_, i) => x.ndim - 1 - i)
    return x.permute(order).contiguous().permute(order).detach()
  }
  // Every second element of something twice as long, from the second on.
  if (layout === 'sliced')
    return stack([zerosLike(x), x], x.ndim)
      .select(x.ndim, 1)
      .detach()
  return x
}

/**
 * Runs every case of a fixture through its op here, in both precisions and several memory layouts: values, dtypes, shapes and
 * gradients. `notYet` names the ops of the fixture that the library does not have.
 */
export function describeOps(fixture: string, table: Table, notYet: readonly string[] = []): void {
  const { cases } = loadFixture<{ cases: OpCase[] }>(fixture)

  describe(`${fixture} agrees with PyTorch`, () => {
    // A case without a call would otherwise be passed over in silence.
    it('has a call for every op of the fixture', () => {
      const missing = new Set(cases.map(({ op }) => op).filter((op) => !(op in table)))
      expect([...missing].sort()).toEqual([...notYet].sort())
    })

    for (const each of cases) {
      const call = table[each.op]
      if (!call) continue
      for (const variant of variants) {
        if (!variant.applies(each)) continue
        it(`${each.name}, ${variant.dtype}, ${variant.layout}`, () => checkCase(each, call, variant))
      }
    }
  })
}

function checkCase(each: OpCase, call: Call, { dtype, tolerance, layout }: Variant): void {
  const inputs = each.inputs.map((input, i) => {
    if (!isFloating(input.dtype)) return arrange(tensorOf(input), layout)
    const x = arrange(tensorOf(input, { dtype }), layout)
    return each.gradients?.[i] ? x.requiresGrad_() : x
  })
  const { expandTo } = each.arguments
  const result = call(expandTo ? [inputs[0]!.expand(expandTo), ...inputs.slice(1)] : inputs, each.arguments)
  const outputs = Array.isArray(result) ? result : [result]
  expect(outputs.length, 'number of outputs').toBe(each.outputs.length)
  outputs.forEach((output, i) => {
    const expected = each.outputs[i]!
    const label = `output ${i}`
    if (isFloating(expected.dtype)) {
      expect(output.dtype, `${label}: dtype`).toBe(dtype)
      expectTensor(output, expected, tolerance, label)
    } else {
      expect(output.dtype, `${label}: dtype`).toBe(expected.dtype)
      expect([...output.shape], `${label}: shape`).toEqual(expected.shape)
      expect(valuesOf(output), label).toEqual(numbersOf(expected))
    }
  })
  if (each.gradOutputs) checkGradients(each, inputs, outputs, { tolerance, layout })
}

function checkGradients(
  each: OpCase,
  inputs: Tensor[],
  outputs: Tensor[],
  { tolerance, layout }: Pick<Variant, 'tolerance' | 'layout'>,
): void {
  const differentiable = outputs.filter((output) => isFloating(output.dtype) && output.requiresGrad)
  expect(differentiable.length, 'outputs with a gradient').toBe(each.gradOutputs!.length)
  const sums = differentiable.map((output, i) =>
    output.mul(arrange(tensorOf(each.gradOutputs![i]!, { dtype: output.dtype }), layout)).sum(),
  )
  sums.reduce((total, sum) => total.add(sum)).backward()
  inputs.forEach((input, i) => {
    const expected = each.gradients![i]
    if (!expected) return
    const gradient = input.grad
    if (!gradient) throw new Error(`input ${i} has no gradient`)
    expectTensor(gradient, expected, tolerance, `gradient of input ${i}`)
  })
}
