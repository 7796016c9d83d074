import { afterEach, describe, expect, it } from 'vitest'
import { addon } from '../../src/engine/addon.ts'
import {
  arange,
  DeviceError,
  device,
  dropout,
  emptyCache,
  manualSeed,
  memoryStats,
  OutOfMemoryError,
  ones,
  randn,
  ShapeError,
  tensor,
  zeros,
} from '../../src/engine/index.ts'

const count = addon.deviceCount()

describe.skipIf(count > 0)('without a CUDA device', () => {
  it('says what is missing', () => {
    expect(() => device('cuda')).toThrow(DeviceError)
    expect(() => device('cuda')).toThrow(/cuda:0 is not available: .*(nvcc|driver|device)/)
    expect(() => zeros([2], { device: 'cuda:1' })).toThrow(/cuda:1 is not available/)
    expect(() => tensor([1]).to('cuda')).toThrow(DeviceError)
  })

  it("'auto' is the processor", () => {
    expect(device('auto')).toBe('cpu')
    expect(zeros([2], { device: 'auto' }).device).toBe('cpu')
  })
})

describe.skipIf(count === 0)('with a CUDA device', () => {
  afterEach(() => emptyCache())

  it('moves tensors there and back, whatever their order in memory', async () => {
    const x = randn([3, 4, 5], { device: 'cpu' })
    for (const view of [
      x,
      x.permute(2, 0, 1),
      x.index(':', '1:3'),
      x.index('::2', 0).unsqueeze(1).expand(2, 3, 5),
    ]) {
      const there = view.to('cuda')
      expect(there.device).toBe('cuda:0')
      expect(await there.data()).toEqual(await view.data())
      expect(there.to('cpu').dataSync()).toEqual(view.dataSync())
    }
    expect(x.to('cpu')).toBe(x)
    expect(String(x.to('cuda'))).toBe(String(x))
  })

  it('copies large tensors piece by piece', () => {
    const x = arange(3_000_000, { device: 'cpu' }).to('int32')
    const back = x.to('cuda').add(1).to('cpu')
    expect(back.sub(x).sum().item()).toBe(3_000_000)
  })

  it('carries gradients across', () => {
    const x = tensor([1, 2, 3], { device: 'cpu', requiresGrad: true })
    x.to('cuda').mul(2).to('cpu').mul(3).sum().backward()
    expect(x.grad?.device).toBe('cpu')
    expect(x.grad?.toArray()).toEqual([6, 6, 6])
  })

  it('refuses tensors of two devices in one op, at once', () => {
    const here = zeros([2], { device: 'cpu' })
    const there = zeros([2], { device: 'cuda' })
    expect(() => here.add(there)).toThrow(DeviceError)
    expect(() => there.mul(here)).toThrow(/mul: expected all tensors on one device, got cuda:0 and cpu/)
    expect(there.copy_(here.add(1)).dataSync()).toEqual(Float32Array.of(1, 1))
  })

  it('names a device that is not there', () => {
    expect(() => device(`cuda:${count}`)).toThrow(
      `cuda:${count} is not available: this machine has ${count} CUDA`,
    )
    expect(device('cuda')).toBe('cuda:0')
    expect(device('auto')).toBe('cuda:0')
  })

  it('tells what is in use, and gives cached memory back', () => {
    const [before, onHost] = [memoryStats('cuda').bytesInUse, memoryStats('cpu').bytesInUse]
    const x = zeros([1024, 1024], { device: 'cuda' })
    expect(memoryStats('cuda').bytesInUse - before).toBe(4 << 20)
    expect(memoryStats('cpu').bytesInUse - onHost).toBeLessThan(4 << 20)
    x.dispose()
    // Under a sanitizer every tensor has a block of its own, so that it sees what lies beyond.
    const cached = process.env.ANNEAL_SANITIZED ? 0 : 4 << 20
    expect(memoryStats('cuda').bytesCached).toBeGreaterThanOrEqual(cached)
    emptyCache()
    expect(memoryStats('cuda').bytesCached).toBe(0)
  })

  it('runs out of memory with the figures, and goes on', () => {
    const { totalBytes } = addon.cudaInfo().devices[0]!
    const kept = zeros([1000], { device: 'cuda' })
    const ask = () => zeros([Math.ceil(totalBytes / 4) + 1], { device: 'cuda' })
    expect(ask).toThrow(OutOfMemoryError)
    expect(ask).toThrow(
      /out of memory on cuda:0: [\d.]+ MiB asked for, [\d.]+ MiB in use, [\d.]+ MiB free of/,
    )
    expect(ask).toThrow(/Smaller batches .* emptyCache\(\)/)
    emptyCache()
    expect(kept.add(1).index(999).item()).toBe(1)
  })

  it('throws what a kernel has found at the next read, with the name of the op, and goes on', async () => {
    const x = arange(6, { device: 'cuda' })
    const divided = x.remainder(tensor([1, 2, 0, 1, 1, 1], { dtype: 'int64', device: 'cuda' }))
    await expect(divided.data()).rejects.toThrow('remainder: integer division by zero')
    expect(await x.add(1).data()).toEqual(Float64Array.of(1, 2, 3, 4, 5, 6))
  })

  it('throws it where an empty tensor is read as well, not where something else is read later', async () => {
    const fail = () => {
      const none = zeros([0], { device: 'cuda' })
      return none.scatterAdd(
        0,
        tensor([0], { dtype: 'int64', device: 'cuda' }),
        ones([1], { device: 'cuda' }),
      )
    }
    expect(() => fail().dataSync()).toThrow(/scatter_add: index 0 is out of range/)
    await expect(fail().data()).rejects.toThrow(/scatter_add: index 0 is out of range/)
    expect(() => fail().to('cpu').dataSync()).toThrow(/scatter_add: index 0 is out of range/)
    expect(ones([2], { device: 'cuda' }).add(1).toArray()).toEqual([2, 2])
    expect(zeros([0, 3], { device: 'cuda' }).toArray()).toEqual([])
    expect(await zeros([2, 0], { device: 'cuda' }).data()).toEqual(new Float32Array())
  })

  it('reads large tensors piece by piece', async () => {
    const count = 9_000_001 // more than two pieces
    const x = arange(count, { device: 'cuda' }).to('int32')
    const right = (values: ArrayLike<number | bigint>) => {
      for (let i = 0; i < count; i++) if (values[i] !== i) return i
      return 'all'
    }
    expect(right(x.dataSync())).toBe('all')
    expect(right(await x.data())).toBe('all')
  })

  it('drops what the seed says, as often as asked, and the same in the backward pass', async () => {
    const x = ones([200, 500], { device: 'cuda' }).requiresGrad_()
    const draw = () => {
      manualSeed(5)
      return dropout(x, 0.25)
    }
    const kept = draw()
    kept.sum().backward()
    const values = await kept.data()
    expect(new Set(values)).toEqual(new Set([0, Math.fround(1 / 0.75)]))
    // Five standard deviations of 100 000 draws.
    expect(Math.abs(values.filter((value) => value === 0).length / 1e5 - 0.25)).toBeLessThan(0.007)
    expect(await x.grad!.data()).toEqual(values)
    expect(await draw().data()).toEqual(values)
    expect(await dropout(x, 0.25).data()).not.toEqual(values)
  })

  it('has every kernel of the table', () => {
    expect(addon.missingKernels()).toEqual([])
  })

  it.skipIf(count < 2)('addresses the second device', () => {
    const x = tensor([1, 2], { device: 'cuda:1' })
    expect(x.add(1).device).toBe('cuda:1')
    expect(() => x.add(zeros([2], { device: 'cuda:0' }))).toThrow(/got cuda:1 and cuda:0/)
    expect(
      x
        .to('cuda:0')
        .add(zeros([2], { device: 'cuda' }))
        .toArray(),
    ).toEqual([1, 2])
  })

  it('refuses shapes as the processor does', () => {
    expect(() => zeros([2, 3], { device: 'cuda' }).add(zeros([4], { device: 'cuda' }))).toThrow(ShapeError)
  })
})
