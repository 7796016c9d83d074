// What goes on where a GPU's memory is nearly full. A file of its own: libraries take their memory once in a process.
import { expect, it } from 'vitest'
import { addon } from '../../src/engine/addon.ts'
import { conv2d, empty, emptyCache, OutOfMemoryError, ones, type Tensor, zeros } from '../../src/index.ts'

it.skipIf(addon.deviceCount() === 0)(
  'convolves, multiplies and copies where little memory is left, and says so where there is too little',
  () => {
    const left = 96 << 20
    const block = (bytes: number) => empty([bytes], { dtype: 'uint8', device: 'cuda' })
    const reserve = block(left)
    const held: Tensor[] = []
    const hold = (bytes: number) => {
      try {
        held.push(block(bytes))
        return true
      } catch (error) {
        expect(error).toBeInstanceOf(OutOfMemoryError)
        return false
      }
    }
    try {
      for (let bytes = 2 ** 36; bytes >= 2 ** 21; bytes /= 2) while (hold(bytes));
      reserve.dispose()
      emptyCache()
      const x = ones([1, 3, 5, 5], { device: 'cuda' })
      const weight = ones([37, 3, 3, 3], { device: 'cuda' })
      expect(conv2d(x, weight).sum().item()).toBe(37 * 9 * 27)
      expect(
        ones([3, 4], { device: 'cuda' })
          .matmul(ones([4, 5], { device: 'cuda' }))
          .sum()
          .item(),
      ).toBe(60)
      expect(ones([5_000_000], { device: 'cpu' }).to('cuda').sum().item()).toBe(5_000_000)
      expect(() => block(2 * left)).toThrow(OutOfMemoryError)
    } finally {
      for (const tensor of held) tensor.dispose()
      emptyCache()
    }
    expect(zeros([1000], { device: 'cuda' }).add(1).sum().item()).toBe(1000)
  },
)
