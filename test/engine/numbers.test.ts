import { describe, expect, it } from 'vitest'
import {
  type DType,
  DTypeError,
  full,
  linspace,
  ones,
  pad,
  type Tensor,
  tensor,
  where,
  zeros,
} from '../../src/engine/index.ts'

const { NaN: notANumber, POSITIVE_INFINITY: infinity } = Number
const bytes = (...values: number[]): Tensor => tensor(values, { dtype: 'uint8' })
const ints = (...values: number[]): Tensor => tensor(values, { dtype: 'int32' })
const longs = (...values: number[]): Tensor => tensor(values, { dtype: 'int64' })

/** Every way in which one number becomes elements of a dtype. */
const fillings: Record<string, (value: number, dtype: DType) => Tensor> = {
  tensor: (value, dtype) => tensor([value], { dtype }),
  full: (value, dtype) => full([1], value, { dtype }),
  fill_: (value, dtype) => zeros([1], { dtype }).fill_(value),
  where: (value, dtype) => where(tensor([true]), value, zeros([1], { dtype })),
  maskedFill: (value, dtype) => zeros([1], { dtype }).maskedFill(tensor([true]), value),
  scatter: (value, dtype) => zeros([1], { dtype }).scatter(0, longs(0), value),
  indexPut_: (value, dtype) => zeros([1], { dtype }).indexPut_([0], value),
}

/** Those that take integers to 2^53 only, or no fractions. */
const strict = new Set(['where', 'maskedFill', 'scatter'])

describe('a number that an integer dtype cannot hold', () => {
  // PyTorch 1.13 refuses all of these: "value cannot be converted to type uint8_t without overflow".
  const refused: [DType, number[]][] = [
    ['uint8', [256, 300, -256, -300, 2 ** 31, 2 ** 40]],
    ['int32', [2 ** 31, -(2 ** 31) - 1, 2 ** 40, -(2 ** 40)]],
  ]
  const unheld: [DType, number[]][] = [
    ['uint8', [-0.5, -1.5, 255.5, infinity, -infinity, notANumber]],
    ['int32', [2 ** 31 - 0.5, 1e30, infinity, -infinity, notANumber]],
    ['int64', [2 ** 63, 1e30, infinity, -infinity, notANumber]],
  ]
  for (const [name, fill] of Object.entries(fillings)) {
    it(`is refused by ${name}`, () => {
      for (const [dtype, values] of strict.has(name) ? refused : [...refused, ...unheld]) {
        for (const value of values) {
          expect(() => fill(value, dtype), `${value} in ${dtype}`).toThrow(
            new DTypeError(`${name}: ${value} cannot be stored in a tensor of ${dtype}`),
          )
        }
      }
    })

    it(`is not one that fits or that PyTorch wraps in uint8, for ${name}`, () => {
      expect([255, -1, -255].map((value) => fill(value, 'uint8').item())).toEqual([255, 255, 1])
      expect([2 ** 31 - 1, -(2 ** 31)].map((value) => fill(value, 'int32').item())).toEqual([
        2 ** 31 - 1,
        -(2 ** 31),
      ])
      expect(fill(-(2 ** 53), 'int64').item()).toBe(-(2 ** 53))
      if (strict.has(name)) return
      expect(fill(2.7, 'uint8').item()).toBe(2)
      expect(fill(-1.5, 'int32').item()).toBe(-1)
      expect(fill(notANumber, 'bool').toArray()).toEqual([true])
    })
  }

  it('is refused as a big integer too', () => {
    expect(tensor([2n ** 63n - 1n, -(2n ** 63n)]).dtype).toBe('int64')
    expect(() => tensor([2n ** 63n])).toThrow(/9223372036854775808 cannot be stored in a tensor of int64/)
    expect(() => tensor([300n], { dtype: 'uint8' })).toThrow(/300 cannot be stored in a tensor of uint8/)
  })

  it('is refused by pad and linspace, which take floating numbers: uint8 holds none below zero', () => {
    expect(pad(bytes(7), [1, 0], { value: 255 }).toArray()).toEqual([255, 7])
    for (const value of [300, -1, -infinity]) {
      const message = `${value} cannot be stored in a tensor of uint8`
      expect(() => pad(bytes(7), [1, 0], { value })).toThrow(new DTypeError(`pad: ${message}`))
      expect(() => linspace(0, value, 3, { dtype: 'uint8' })).toThrow(new DTypeError(`linspace: ${message}`))
    }
    expect(() => pad(longs(7), [1, 0], { value: -infinity })).toThrow(DTypeError)
  })

  it('is an exponent or a base that pow refuses', () => {
    expect(() => bytes(2).pow(300)).toThrow(/pow: 300 cannot be stored in a tensor of uint8/)
    expect(() => ints(2).pow_(2 ** 40)).toThrow(DTypeError)
    expect(bytes(2, 16).pow(2).toArray()).toEqual([4, 0])
  })
})

describe('arithmetic with a number out of the range of an integer dtype', () => {
  // PyTorch's values on the processor.
  const ops: Record<string, (x: Tensor, number: number) => Tensor> = {
    add: (x, number) => x.add(number),
    sub: (x, number) => x.sub(number),
    mul: (x, number) => x.mul(number),
    remainder: (x, number) => x.remainder(number),
    floorDivide: (x, number) => x.floorDivide(number),
    lt: (x, number) => x.lt(number),
    ge: (x, number) => x.ge(number),
    add_: (x, number) => x.clone().add_(number),
    logicalAnd: (x, number) => x.logicalAnd(number),
  }
  const [yes, no] = [true, false]
  const ofBytes: Record<number, Record<string, unknown[]>> = {
    300: {
      add: [45, 144, 43],
      sub: [213, 56, 211],
      mul: [44, 48, 212],
      remainder: [1, 12, 35],
      floorDivide: [0, 2, 5],
      lt: [yes, no, no],
      ge: [no, yes, yes],
      add_: [45, 144, 43],
      logicalAnd: [yes, yes, yes],
    },
    [-300]: {
      add: [213, 56, 211],
      sub: [45, 144, 43],
      mul: [212, 208, 44],
      remainder: [1, 100, 43],
      floorDivide: [0, 0, 1],
      lt: [yes, yes, no],
      ge: [no, no, yes],
      add_: [213, 56, 211],
      logicalAnd: [yes, yes, yes],
    },
  }
  for (const [number, expected] of Object.entries(ofBytes)) {
    it(`wraps around as in PyTorch: uint8 and ${number}`, () => {
      for (const [name, values] of Object.entries(expected)) {
        expect(ops[name]!(bytes(1, 100, 255), Number(number)).toArray(), name).toEqual(values)
      }
    })
  }
  it('wraps around beyond 32 bits', () => {
    for (const x of [bytes(1, 5), ints(1, 5)]) {
      expect(x.add(2 ** 40).toArray()).toEqual([1, 5])
      expect(x.add(2 ** 40 + 3).toArray()).toEqual([4, 8])
      expect(x.mul(-(2 ** 40)).toArray()).toEqual([0, 0])
      expect(x.lt(2 ** 40).toArray()).toEqual([false, false])
      expect(x.logicalAnd(2 ** 40).toArray()).toEqual([false, false])
      expect(() => x.remainder(2 ** 40).dataSync()).toThrow(/integer division by zero/)
      expect(() => x.floorDivide(2 ** 40).dataSync()).toThrow(/integer division by zero/)
      // True division leaves the integers first.
      expect(x.div(2 ** 40).toArray()).toEqual([2 ** -40, Math.fround(5 * 2 ** -40)])
    }
  })
})

describe('limits of integers', () => {
  it('that have no end make them float32, as those with a fraction do', () => {
    for (const [low, high, expected] of [
      [0, infinity, [1, 5]],
      [-infinity, 3, [1, 3]],
      [2.5, null, [2.5, 5]],
      [notANumber, 3, [notANumber, notANumber]],
      [0, 1e30, [1, 5]],
    ] as const) {
      const limited = longs(1, 5).clamp(low, high)
      expect([limited.dtype, limited.toArray()]).toEqual(['float32', expected])
    }
    expect(() => longs(1).clamp_(0, infinity)).toThrow(DTypeError)
  })

  it('are refused where the dtype cannot hold them, wrap where PyTorch does', () => {
    const x = bytes(1, 100, 255)
    for (const [low, high] of [
      [0, 256],
      [-1, 300],
      [null, 256],
      [-300, -200],
      [200, 1000],
    ] as const) {
      expect(() => x.clamp(low, high)).toThrow(/clamp: -?\d+ cannot be stored in a tensor of uint8/)
    }
    expect(x.clamp(-1).toArray()).toEqual([255, 255, 255])
    expect(() => ints(1).clamp(0, 2 ** 40)).toThrow(
      /clamp: 1099511627776 cannot be stored in a tensor of int32/,
    )
    expect(() => x.clamp(bytes(3), 256)).toThrow(/clamp: 256 cannot be stored in a tensor of uint8/)
    // One limit with a fraction, and both are compared as float32.
    expect(x.clamp(2.5, 300).toArray()).toEqual([2.5, 100, 255])
    expect(ones([1], { dtype: 'bool' }).clamp(0, 5).dtype).toBe('int64')
  })
})

describe('tensors of floating numbers to integers', () => {
  // C++ says nothing about these, and nor does PyTorch; the values are those that it has on x86.
  const values = [300, -1, -300, 2 ** 31, 2 ** 40, 1e30, -1e30, infinity, -infinity, notANumber, 2.5, -2.5]
  const least = -(2 ** 31)
  const leastLong = -(2 ** 63)
  const expected: [DType, number[]][] = [
    ['uint8', [44, 255, 212, 0, 0, 0, 0, 0, 0, 0, 2, 254]],
    ['int32', [300, -1, -300, ...new Array<number>(7).fill(least), 2, -2]],
    ['int64', [300, -1, -300, 2 ** 31, 2 ** 40, ...new Array<number>(5).fill(leastLong), 2, -2]],
  ]
  for (const dtype of ['float32', 'float64'] as const) {
    it(`from ${dtype}`, () => {
      const x = tensor(values, { dtype })
      for (const [to, converted] of expected) expect(x.to(to).toArray(), to).toEqual(converted)
    })
  }
  it('from half precision', () => {
    const x = tensor([infinity, -infinity, notANumber, -3.5], { dtype: 'float16' })
    expect(x.to('int32').toArray()).toEqual([least, least, least, -3])
    expect(x.to('bfloat16').to('uint8').toArray()).toEqual([0, 0, 0, 253])
  })
})
