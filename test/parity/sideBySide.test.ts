import { describe, expect, it } from 'vitest'
import * as engine from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import { loadFixture } from './fixtures.ts'

type Expected =
  | { refused: true }
  | { text: string }
  | { list: Expected[] }
  | { dtype: string; shape: number[]; values: (number | boolean | string)[] }

type Values = Parameters<typeof engine.tensor>[0]

const make = (dtype: engine.DType) => (values: Values) => engine.tensor(values, { dtype })
const floats = make('float32')
const integers = make('int64')
const { arange, channelsLast, manualSeed, Tensor } = engine

class Text extends String {}

const counted = (count: number) => arange(count).float()

// What the calls of test/fixtures/side_by_side.txt use.
const names: Record<string, unknown> = {
  ...engine,
  F,
  T: floats,
  D: make('float64'),
  I: integers,
  i32: make('int32'),
  u8: make('uint8'),
  B: make('bool'),
  inf: Number.POSITIVE_INFINITY,
  nan: Number.NaN,
  A23: counted(6).view(2, 3),
  A234: counted(24).view(2, 3, 4),
  L24: floats([
    [0.1, -2, 3, 0.5],
    [1, 0, -1, 2],
  ]),
  W4: floats([0.5, 1, 2, 3]),
  A4: counted(50).view(1, 2, 5, 5),
  CL: () => channelsLast(counted(48).view(2, 2, 3, 4)),
  P: (x: engine.Tensor) => new Text(x.toString()),
  R: (x: engine.Tensor) => [x, integers([...x.strides])],
  S: (seed: number, body: () => unknown) => {
    manualSeed(seed)
    return body()
  },
  G: (body: (x: engine.Tensor) => engine.Tensor, values: Values) => {
    const x = floats(values).requiresGrad_()
    body(x).backward()
    return x.grad
  },
}

function compare(found: unknown, expected: Expected): void {
  if ('text' in expected) {
    expect(String(found)).toBe(expected.text)
  } else if ('list' in expected) {
    const list = Array.isArray(found) ? found : Object.values(found as object)
    expect(list).toHaveLength(expected.list.length)
    for (const [i, item] of expected.list.entries()) compare(list[i], item)
  } else if ('values' in expected) {
    expect(found).toBeInstanceOf(Tensor)
    const { dtype, shape } = found as engine.Tensor
    expect({ dtype, shape }).toEqual({ dtype: expected.dtype, shape: expected.shape })
    const tolerance =
      dtype === 'bfloat16' || dtype === 'float16' ? 1e-2 : dtype.startsWith('float') ? 1e-5 : 0
    ;(found as engine.Tensor).dataSync().forEach((value, i) => {
      const wanted = Number(
        String(expected.values[i]).replace('inf', 'Infinity').replace('true', '1').replace('false', '0'),
      )
      const near = Math.abs(value - wanted) <= tolerance * Math.max(1, Math.abs(wanted))
      if (!near && !Object.is(value, wanted) && value !== wanted) {
        expect.fail(`element ${i} is ${value}, PyTorch has ${wanted}`)
      }
    })
  }
}

describe('unusual calls give what PyTorch gives', () => {
  const { cases } = loadFixture<{ cases: { name: string; expected: Expected }[] }>('sideBySide')
  // On a GPU, PyTorch draws other masks of dropout, and what does not fit into an integer becomes another one; so it is with us.
  const here =
    engine.getDefaultDevice() === 'cpu'
      ? cases
      : cases.filter(({ name }) => !/dropout|inf.*\.to\('int64'\)/.test(name))
  it.each(here)('$name', ({ name, expected }) => {
    const call = new Function(...Object.keys(names), `return ${name}`)
    const run = () => engine.scope(() => call(...Object.values(names)))
    if ('refused' in expected) expect(run).toThrow(engine.AnnealError)
    else compare(run(), expected)
  })
})
