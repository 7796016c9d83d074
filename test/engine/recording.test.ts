import { describe, expect, it } from 'vitest'
import {
  arange,
  dropout,
  full,
  getDefaultDevice,
  manualSeed,
  memoryStats,
  ones,
  randn,
  scope,
  type Tensor,
  tensor,
  zeros,
} from '../../src/engine/index.ts'
import { Recording } from '../../src/engine/recording.ts'

const valuesOf = (x: Tensor) => Array.from(x.dataSync(), Number)

describe('Recording', () => {
  it('repeats what ops have enqueued, on what its inputs hold then', () => {
    const x = tensor([1, 2, 3])
    const { recording, result } = Recording.of(() => x.mul(2).add(1))
    expect(valuesOf(result)).toEqual([3, 5, 7])
    x.copy_(tensor([10, 20, 30]))
    expect(valuesOf(result), 'nothing happens by itself').toEqual([3, 5, 7])
    recording.replay()
    expect(valuesOf(result)).toEqual([21, 41, 61])
    x.add_(1)
    recording.replay()
    expect(valuesOf(result)).toEqual([23, 43, 63])
    recording.dispose()
    expect(() => recording.replay()).toThrow('this recording has been freed')
  })

  it('changes in place count each time', () => {
    const sum = zeros([3])
    const { recording } = Recording.of(() => {
      sum.add_(1)
    })
    for (let i = 0; i < 4; i++) recording.replay()
    expect(valuesOf(sum)).toEqual([5, 5, 5])
  })

  it('owns its memory: what else is made meanwhile does not meet it', () => {
    const x = ones([1000])
    const { recording, result } = Recording.of(() =>
      scope(() => {
        let y = x
        for (let i = 0; i < 10; i++) y = y.mul(2).sub(x)
        return y
      }),
    )
    for (let round = 0; round < 3; round++) {
      const others = Array.from({ length: 20 }, () => randn([1000]).mul(1e6))
      x.fill_(round)
      recording.replay()
      expect(valuesOf(result.sum())).toEqual([1000 * round])
      for (const other of others) other.dispose()
    }
  })

  it('keeps what it was given alive, and constants that were made inside', () => {
    let x: Tensor | null = arange(4).to('float32')
    const { recording, result } = Recording.of(() => (x as Tensor).mul(tensor([1, 10, 100, 1000])))
    x.dispose()
    x = null
    for (let i = 0; i < 5; i++) ones([4]).mul(-1)
    recording.replay()
    expect(valuesOf(result)).toEqual([0, 10, 200, 3000])
  })

  it('keeps what an earlier recording made that is gone, though it may lie where that one lay', () => {
    const wrong: number[] = []
    for (let round = 0; round < 20; round++) {
      const size = 5000 + 700 * round
      const earlier = Recording.of(() => full([size], 1).add(1))
      const kept = earlier.result
      earlier.recording.dispose()
      const { recording, result } = Recording.of(() => kept.add(1))
      kept.dispose()
      const others = Array.from({ length: 6 }, () => full([size], 100))
      recording.replay()
      const value = Number(result.dataSync()[0])
      if (value !== 3) wrong.push(value)
      for (const other of others) other.dispose()
      recording.dispose()
    }
    expect(wrong).toEqual([])
  })

  it('knows whether values were read, which is not repeated', () => {
    const x = ones([4])
    expect(Recording.of(() => x.mul(2)).recording.readsValues).toBe(false)
    const { recording, result } = Recording.of(() => x.mul(x.sum().item()))
    expect(recording.readsValues).toBe(true)
    x.fill_(2)
    recording.replay()
    expect(valuesOf(result)).toEqual([8, 8, 8, 8])
  })

  it('draws random numbers anew', () => {
    const x = ones([64])
    manualSeed(3)
    const first = valuesOf(dropout(x, 0.5))
    const second = valuesOf(dropout(x, 0.5))
    manualSeed(3)
    const { recording, result } = Recording.of(() => dropout(x, 0.5))
    expect(valuesOf(result)).toEqual(first)
    recording.replay()
    expect(valuesOf(result)).toEqual(second)
  })

  it('takes no more memory however often it runs, and gives it back', () => {
    const device = getDefaultDevice()
    const x = ones([256, 256])
    const inUse = () => memoryStats(device).bytesInUse
    const before = inUse()
    const { recording, result } = Recording.of(() => scope(() => x.mul(2).add(1).sqrt().sum()))
    const after = inUse()
    for (let i = 0; i < 50; i++) recording.replay()
    expect(result.item()).toBeCloseTo(256 * 256 * Math.sqrt(3), -1)
    expect(inUse()).toBe(after)
    recording.dispose()
    result.dispose()
    expect(inUse()).toBe(before)
  })

  it('reads inside, which it does not repeat; does not nest; survives errors', () => {
    const x = ones([2])
    const { recording } = Recording.of(() => {
      expect(x.sum().item()).toBe(2)
    })
    recording.replay()
    expect(() => Recording.of(() => Recording.of(() => x.add(1)))).toThrow(/do not nest/)
    expect(() => Recording.of(() => x.add(ones([3])))).toThrow(/cannot be broadcast/)
    expect(valuesOf(Recording.of(() => x.add(1)).result)).toEqual([2, 2])
    expect(() => Recording.of(5 as never)).toThrow(/function/)
  })
})
