import { constants, PerformanceObserver } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { memoryStats, ones, randn, scope, type Tensor, tensor } from '../../src/engine/index.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

describe('scope', () => {
  it('frees what was made inside, except what is returned', () => {
    let inner: Tensor | undefined
    const kept = scope(() => {
      inner = ones([3])
      const sum = inner.add(1)
      return { list: [sum], name: 'sum' }
    })
    expect(inner?.isAlive).toBe(false)
    expect(kept.list[0]?.toArray()).toEqual([2, 2, 2])
  })

  it('keeps what the gradient of the result needs', () => {
    const x = tensor([1, 2], { requiresGrad: true })
    const loss = scope(() => x.exp().mul(x.square()).sum())
    loss.backward()
    const expected = [1, 2].map((v) => Math.exp(v) * (v * v + 2 * v))
    expect(x.grad?.toArray()).toEqual([
      expect.closeTo(expected[0] as number, 4),
      expect.closeTo(expected[1] as number, 4),
    ])
  })

  it('leaves to the collector what is made after its end, by work that nobody waited for', async () => {
    const settled = async (tensors: number) => {
      for (let turn = 0; turn < 20 && memoryStats().tensors > tensors; turn++) {
        collect()
        await new Promise((resolve) => setImmediate(resolve))
      }
      return memoryStats().tensors
    }
    const before = await settled(0)
    let work = Promise.resolve(0)
    scope(() => {
      work = (async () => {
        await null
        return ones([3]).sum().item()
      })()
      return null
    })
    expect(await work).toBe(3)
    expect(await settled(before)).toBe(before)
  })

  it('frees all where what is returned cannot be looked into', () => {
    const before = memoryStats().tensors
    const sealed = () => ({
      x: ones([3]),
      get y() {
        throw new Error('not for you')
      },
    })
    expect(() => scope(sealed)).toThrow('not for you')
    expect(memoryStats().tensors).toBe(before)
  })

  it('leaves leaf gradients alone', () => {
    const x = tensor([1, 2], { requiresGrad: true })
    scope(() => x.square().sum().backward())
    expect(x.grad?.toArray()).toEqual([2, 4])
  })

  it('nests, and hands returned tensors to the outer scope', () => {
    let handed: Tensor | undefined
    scope(() => {
      handed = scope(() => ones([1]))
      expect(handed.isAlive).toBe(true)
    })
    expect(handed?.isAlive).toBe(false)
  })

  it('frees when the body throws, synchronously or not', async () => {
    let first: Tensor | undefined
    expect(() =>
      scope(() => {
        first = ones([1])
        throw new Error('stop')
      }),
    ).toThrow('stop')
    expect(first?.isAlive).toBe(false)
    await expect(
      scope(async () => {
        first = ones([1])
        await new Promise((resolve) => setTimeout(resolve, 1))
        throw new Error('later')
      }),
    ).rejects.toThrow('later')
    expect(first?.isAlive).toBe(false)
  })

  it('does not take tensors of code that runs meanwhile', async () => {
    const running = scope(async () => {
      await new Promise((resolve) => setTimeout(resolve, 5))
    })
    const outside = ones([2])
    await running
    expect(outside.isAlive).toBe(true)
  })

  it('keep() takes a tensor out', () => {
    let kept: Tensor | undefined
    scope(() => {
      kept = ones([1]).keep()
    })
    expect(kept?.isAlive).toBe(true)
    kept?.dispose()
  })

  it('survives using and dispose of values that backward needs', () => {
    const x = tensor([3], { requiresGrad: true })
    const y = (() => {
      using squared = x.square()
      return squared.mul(squared)
    })()
    y.backward()
    expect(x.grad?.item()).toBe(108)
  })

  it('keeps disposed values from everyone but the backward pass', () => {
    const x = tensor([3], { requiresGrad: true })
    const squared = x.square()
    const y = squared.mul(squared)
    squared.dispose()
    y.backward({ retainGraph: true })
    expect(() => squared.add(1)).toThrow(/has been freed/)
    y.backward()
    expect(x.grad?.item()).toBe(216)
  })
})

describe('memory', () => {
  it('of thousands of tensors is given back at once', () => {
    const before = memoryStats().tensors
    const x = ones([2])
    scope(() => {
      for (let i = 0; i < 5000; i++) x.add(i)
    })
    expect(memoryStats().tensors).toBe(before + 1)
    x.dispose()
    expect(memoryStats().tensors).toBe(before)
  })

  it('that comes round again is not taken for what it was', () => {
    // Handles of one slot repeat after 256 tensors; those in between are not looked at.
    for (let i = 0; i <= 1024; i++) {
      const shape = [1 + (i % 3), 2]
      const x = tensor(new Float32Array(2 * shape[0]!), { shape })
      if (i % 256 === 0) expect(x.shape).toEqual(shape)
      x.dispose()
    }
  })

  // Under the sanitizers nothing is cached, so that they see each block's end.
  it.skipIf(process.env.ANNEAL_SANITIZED)('of a loop of steps in scopes does not grow', () => {
    const weight = randn([64, 64], { requiresGrad: true })
    const step = () =>
      scope(() => {
        const loss = randn([32, 64]).matmul(weight).tanh().square().mean()
        loss.backward()
        weight.clearGrad()
      })
    for (let i = 0; i < 20; i++) step()
    const { bytesInUse, tensors, systemAllocations } = memoryStats()
    for (let i = 0; i < 200; i++) step()
    expect(memoryStats().bytesInUse).toBe(bytesInUse)
    expect(memoryStats().tensors).toBe(tensors)
    expect(memoryStats().systemAllocations - systemAllocations).toBeLessThan(5)
  })

  it('of tensors that nobody holds is freed once they are collected and the event loop turns', async () => {
    const before = memoryStats().bytesInUse
    const make = () => {
      for (let i = 0; i < 100; i++) ones([256, 1024])
    }
    make()
    expect(memoryStats().bytesInUse - before).toBeGreaterThan(50 * 2 ** 20)
    for (let turn = 0; turn < 20 && memoryStats().bytesInUse - before > 2 ** 21; turn++) {
      collect()
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    expect(memoryStats().bytesInUse - before).toBeLessThanOrEqual(2 ** 21)
  })

  // Told of every rise and fall, V8 would look for garbage in every step.
  it('that comes and goes with the steps makes V8 collect in few of them; what only V8 can free is freed', async () => {
    let collections = 0
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries() as { detail?: { kind?: number } }[]) {
        if (detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR) collections++
      }
    })
    const count = async (step: () => void) => {
      collections = 0
      for (let i = 0; i < 40; i++) {
        step()
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
      return collections
    }
    const step = () => {
      for (let i = 0; i < 6; i++) ones([4, 1024, 1024])
    }
    observer.observe({ entryTypes: ['gc'] })
    try {
      expect(await count(() => scope(step))).toBeLessThan(15)
      const before = memoryStats().bytesInUse
      expect(await count(step)).toBeGreaterThan(2)
      // Of 3.75 GB.
      expect(memoryStats().bytesInUse - before).toBeLessThan(2 ** 30)
    } finally {
      observer.disconnect()
    }
  })
})
