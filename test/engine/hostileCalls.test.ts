import { describe, expect, it } from 'vitest'
import { addon, release } from '../../src/engine/addon.ts'
import {
  AnnealError,
  ConfigError,
  defineOp,
  grad,
  memoryStats,
  ones,
  ShapeError,
  setNumThreads,
  synchronize,
  Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'

// What test/robustness/calls.ts has found. A crash of the process is reported against this file.

const opNumber = (name: string) => addon.opNames.indexOf(name)

function callNative(name: string, args: number[], kinds: number[], count: number, device = 0): string {
  addon.args.set(args)
  addon.kinds.set(kinds)
  return addon.call(opNumber(name) | (device << 16), count) < 0 ? addon.takeError().message : 'done'
}

describe('the add-on refuses', () => {
  it.each([-1, 40_000, 2 ** 31, 1e20, Number.NaN, 1.5])('a list of %d entries', (length) => {
    expect(callNative('empty', [length, 2, 3, 0], [4, 0, 0, 1], 2)).toMatch(/cannot have|at most/)
    expect(callNative('cat', [length, 1, 2, 0], [5, 0, 0, 1], 2)).toMatch(/cannot have|freed/)
    expect(callNative('normalize_images', [1, length], [2, 4], 3)).toMatch(/cannot have|freed/)
  })

  it('more arguments than there is room for', () => {
    addon.kinds.fill(3)
    expect(addon.call(opNumber('add'), 2 ** 31 - 1)).toBe(-1)
    expect(addon.call(opNumber('add'), -5)).toBe(-1)
  })

  it('devices that are beyond all numbers', () => {
    expect(callNative('empty', [1, 3, 0], [4, 0, 1], 2, 200)).toMatch(/no device number 200/)
    expect(() => addon.openDevice(2 ** 31)).toThrow(/no device number/)
  })

  it('gradients of what is not floating', () => {
    addon.args.set([3])
    const handle = addon.fromBytes(new Uint8Array(3), 6, 1)
    expect(callNative('leaky_relu_backward', [handle, handle, 0.1], [2, 2, 1], 3)).toMatch(/floating dtype/)
    release(handle)
  })

  it('ranges of integers that are none', () => {
    addon.args.set([2])
    const handle = addon.fromBytes(new BigInt64Array(2), 4, 1)
    for (const [from, to] of [
      [0, 1e-300],
      [0, 1e300],
      [-1e20, 0],
      [Number.NaN, 1],
    ] as const) {
      expect(callNative('random_', [handle, from, to], [2, 1, 1], 3)).toMatch(/not both integers|empty/)
    }
    release(handle)
    synchronize()
  })

  it('numbers of threads that no system has', () => {
    for (const count of [0, -1, 1e9, Number.NaN, 2.5])
      expect(() => addon.setThreads(count)).toThrow(/1 to \d+ threads/)
    expect(() => setNumThreads(1e6)).toThrow(ConfigError)
  })

  it('reads that nobody is told of, before it writes anything', () => {
    const x = ones([2, 3])
    const target = new Float32Array(6)
    expect(() => addon.readAsync(x.liveHandle(), target, true, undefined as never)).toThrow(/a function/)
    expect(() => addon.readAsync(x.liveHandle(), target, 'no' as never, () => undefined)).toThrow()
    expect(() => addon.readSync(x.liveHandle(), new Float32Array(new SharedArrayBuffer(24)))).toThrow(
      /not shared/,
    )
    expect(() => addon.readSync(x.liveHandle(), {} as never)).toThrow(/typed array/)
    synchronize()
    expect([...target]).toEqual([0, 0, 0, 0, 0, 0])
  })
})

describe('the engine is not to be confused by', () => {
  it('integer division where there is nothing to divide', () => {
    const none = zeros([2, 0], { dtype: 'int32' })
    expect(none.remainder(zeros([0], { dtype: 'int32' })).shape).toEqual([2, 0])
    expect(none.remainder_(zeros([2, 0], { dtype: 'int32' })).toArray()).toEqual([[], []])
    synchronize()
  })

  it('lists that hold themselves', () => {
    const list: unknown[] = [1, 2]
    list[0] = list
    expect(() => tensor(list as never)).toThrow(ShapeError)
    expect(() => ones([3, 3]).index(list as never)).toThrow(/nested deeper/)
  })

  it('handles that somebody made up', () => {
    expect(() => new (Tensor as unknown as new (handle: number) => Tensor)(1)).toThrow(ConfigError)
    expect(() => Reflect.construct(Tensor, [1, Symbol('of the engine')])).toThrow(ConfigError)
  })

  it('getters that call it while a list is being read', () => {
    const dims = [0, 1]
    Object.defineProperty(dims, 1, { get: () => (ones([2]).add(1).item() > 1 ? 1 : 0), enumerable: true })
    let result: unknown
    try {
      result = ones([2, 3]).permute(dims).shape
    } catch (error) {
      expect(error).toBeInstanceOf(AnnealError)
      return
    }
    expect(result).toEqual([2, 3])
  })

  it('parameters that are made while gradients are recorded', () => {
    let made: nn.Parameter | undefined
    const twice = defineOp({
      name: 'twice',
      forward: (_, x: Tensor) => x.mul(2),
      backward(_, gradient) {
        made = new nn.Parameter(ones([2]))
        return gradient.mul(2)
      },
    })
    const x = ones([2], { requiresGrad: true })
    const before = memoryStats().tensors
    const [slope] = grad(twice(x).sum(), x, { createGraph: true })
    made?.dispose()
    expect(slope?.toArray()).toEqual([2, 2])
    expect(memoryStats().tensors).toBeGreaterThanOrEqual(before)
    expect(() => synchronize()).not.toThrow()
  })
})
