import { describe, expect, it } from 'vitest'
import { type DType, tensor } from '../../src/engine/index.ts'

/** What is divided by what, both ways round. */
const values = '0 -0 1 -1 0.1 -0.1 6 -5 Infinity -Infinity NaN 1e-45 3e38'

/** torch.floor_divide(row, column) of PyTorch 1.13, element by element: its vectors lose infinite quotients to NaN. */
const ofFloat32 = [
  'NaN NaN 0 -0 0 -0 0 -0 0 -0 NaN 0 0',
  'NaN NaN -0 0 -0 0 -0 0 -0 0 NaN -0 -0',
  'Infinity -Infinity 1 -1 9 -10 0 -1 0 -1 NaN Infinity 0',
  '-Infinity Infinity -1 1 -10 9 -1 0 -1 0 NaN -Infinity -1',
  'Infinity -Infinity 0 -1 1 -1 0 -1 0 -1 NaN Infinity 0',
  '-Infinity Infinity -1 0 -1 1 -1 0 -1 0 NaN -Infinity -1',
  'Infinity -Infinity 6 -6 59 -60 1 -2 0 -1 NaN Infinity 0',
  '-Infinity Infinity -5 5 -50 49 -1 1 -1 0 NaN -Infinity -1',
  'Infinity -Infinity NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN',
  '-Infinity Infinity NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN',
  'NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN',
  'Infinity -Infinity 0 -1 0 -1 0 -1 0 -1 NaN 1 0',
  'Infinity -Infinity 3e38 -3e38 Infinity -Infinity 5e37 -6.0000002e37 0 -1 NaN Infinity 1',
]

const numbers = (line: string): number[] => line.split(' ').map(Number)

describe('floorDivide is PyTorch’s', () => {
  it('for zeros, infinities, NaN, the smallest and the largest', () => {
    const rows = tensor(numbers(values)).unsqueeze(1)
    const columns = tensor(numbers(values)).unsqueeze(0)
    const expected = tensor(ofFloat32.map(numbers))
    expect(rows.floorDivide(columns).toArray()).toEqual(expected.toArray())
  })

  it.each(['float32', 'float64', 'bfloat16', 'float16'] as DType[])(
    'where the quotient is nearly whole: %s',
    (dtype) => {
      // Tenths are a little more than they say in float32, float64 and bfloat16, and a little less in float16.
      const divided = tensor([1, 6, -1, 1, -5, 5], { dtype }).floorDivide(
        tensor([0.1, 0.1, 0.1, -0.1, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY], { dtype }),
      )
      const tenths = dtype === 'float16' ? [10, 60, -11, -11] : [9, 59, -10, -10]
      expect(divided.dtype).toBe(dtype)
      expect(divided.toArray()).toEqual([...tenths, -1, -1])
      expect(tensor([6], { dtype }).floorDivide(0.1).item()).toBe(dtype === 'float64' ? 59 : tenths[1])
    },
  )

  it('and agrees with remainder: quotient · divisor + remainder is what was divided', () => {
    const tenths = Array.from({ length: 2000 }, (_, i) => (i - 1000) / 10)
    const x = tensor(tenths, { dtype: 'float64' })
    for (const by of [0.1, -0.1, 0.3, -0.7, 1.1]) {
      const [quotient, rest] = [x.floorDivide(by), x.remainder(by)]
      expect(quotient.mul(by).add(rest).sub(x).abs().max().item()).toBeLessThan(1e-12)
      expect(rest.div(by).ge(1).sum().item()).toBe(0)
    }
  })
})
