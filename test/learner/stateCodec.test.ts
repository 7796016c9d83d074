import { describe, expect, it } from 'vitest'
import { type Tensor, tensor } from '../../src/engine/index.ts'
import type { StateValue } from '../../src/learner/callbackState.ts'
import { decodeState, encodeState } from '../../src/learner/stateCodec.ts'

async function roundTrip(value: StateValue): Promise<StateValue> {
  const { json, arrays } = await encodeState(value, 'state')
  return decodeState(JSON.parse(JSON.stringify(json)), arrays)
}

describe('states of callbacks in a checkpoint', () => {
  it('come back, whatever their names', async () => {
    const array = (...values: number[]) => Float64Array.from(values)
    const state = {
      a: { b: array(1), '0': array(2) },
      'a/b': array(3),
      'a~1b': array(4),
      'a~b': [array(5), { 'c/d': array(6) }],
      'a~b/0': array(7),
      $array: array(8),
      $$array: 'text',
      '': { '': array(9), '/': array(10) },
      '/': array(11),
      '//': array(12),
      numbers: [Number.NaN, -0, Number.NEGATIVE_INFINITY, 1.5],
    }
    expect(await roundTrip(state)).toEqual(state)
    const tensors = await roundTrip({ a: { b: tensor([1]) }, 'a/b': tensor([2]) })
    const found = tensors as { a: { b: Tensor }; 'a/b': Tensor }
    expect([found.a.b.item(), found['a/b'].item()]).toEqual([1, 2])
  })

  it('are read from files of before, in which slashes stood as they are', () => {
    const data = new Uint8Array(Float64Array.of(3).buffer)
    const arrays = new Map([['state/a/b', { dtype: 'float64', shape: [1], data } as const]])
    const json = { 'a/b': { $array: 'state/a/b', type: 'Float64Array' } }
    expect(decodeState(json, arrays)).toEqual({ 'a/b': Float64Array.of(3) })
  })
})
