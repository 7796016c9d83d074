// Memory of the device that no tensor holds goes to whoever needs it: libraries and copies take what tensors have left behind, and
// give theirs back.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { addon } from '../../src/engine/addon.ts'
import {
  conv2d,
  empty,
  emptyCache,
  full,
  memoryStats,
  OutOfMemoryError,
  ones,
  type Tensor,
} from '../../src/index.ts'

const MiB = 1 << 20
const free = () => addon.cudaInfo().devices[0]!.freeBytes
const block = (bytes: number) => empty([bytes], { dtype: 'uint8', device: 'cuda' })
const cuda = { device: 'cuda' } as const

// Under AddressSanitizer nothing is cached.
describe.skipIf(addon.deviceCount() === 0 || process.env.ANNEAL_SANITIZED === '1')(
  'memory that no tensor holds',
  () => {
    const held: Tensor[] = []

    /** Takes all of the device's memory that tensors can have. */
    function fill() {
      for (let size = 2 ** 36; size >= 2 * MiB; size /= 2) {
        try {
          for (;;) held.push(block(size))
        } catch (error) {
          expect(error).toBeInstanceOf(OutOfMemoryError)
        }
      }
    }

    /** Takes all of it but about `bytes`, which stay free. */
    function leave(bytes: number) {
      const reserve = block(bytes)
      fill()
      reserve.dispose()
      emptyCache()
    }

    beforeEach(() => emptyCache())
    afterEach(() => {
      for (const tensor of held.splice(0)) tensor.dispose()
      emptyCache()
    })

    it('is given back after large copies, whose size it does not follow', () => {
      const host = full([160 * MiB], 3, { dtype: 'uint8', device: 'cpu' })
      host.to('cuda').dispose()
      emptyCache()
      const before = free()
      const moved = [host.to('cuda'), host.to('cuda')] as const
      expect(moved[0].sum().item()).toBe(3 * 160 * MiB)
      for (const tensor of moved) tensor.dispose()
      expect(before - free()).toBeLessThan((320 + 140) * MiB)
      expect(memoryStats('cuda').bytesCached).toBeGreaterThanOrEqual(before - free() - 16 * MiB)
      emptyCache()
      expect(before - free()).toBeLessThan(16 * MiB)
      expect(memoryStats('cuda').bytesCached).toBe(0)
    })

    it('is there for a product, however large, when it lies in the cache', () => {
      leave(96 * MiB)
      const [a, b] = [ones([64, 128], cuda), ones([128, 32], cuda)]
      const idle = block(88 * MiB)
      idle.fill_(1)
      idle.dispose()
      expect(a.matmul(b).sum().item()).toBe(64 * 128 * 32)
      expect(a.matmul(b).sum().item()).toBe(64 * 128 * 32)
    })

    it('is there for a convolution in half precision, done in float32', () => {
      leave(96 * MiB)
      const x = ones([1, 4, 64, 64], cuda).to('bfloat16')
      const weight = ones([4, 2, 3, 3], cuda).to('bfloat16')
      const idle = block(88 * MiB)
      idle.dispose()
      expect(conv2d(x, weight, null, { groups: 2 }).to('float32').mean().item()).toBe(18)
    })

    it('is enough without a product that needs none, and products go on', () => {
      leave(6 * MiB)
      expect(
        ones([64, 128], cuda)
          .matmul(ones([128, 32], cuda))
          .sum()
          .item(),
      ).toBe(64 * 128 * 32)
    })

    it('comes back from libraries before a tensor is refused', () => {
      expect(
        ones([64, 128], cuda)
          .matmul(ones([128, 32], cuda))
          .sum()
          .item(),
      ).toBe(64 * 128 * 32)
      const x = ones([1, 4, 64, 64], cuda).to('bfloat16')
      expect(
        conv2d(x, ones([4, 2, 3, 3], cuda).to('bfloat16'), null, { groups: 2 })
          .sum()
          .item(),
      ).toBeGreaterThan(0)
      x.dispose()
      expect(memoryStats('cuda').bytesCached).toBeGreaterThan(8 * MiB)
      fill()
      expect(memoryStats('cuda').bytesCached).toBe(0)
    })

    it('is given out to the byte where a rounded size does not fit', () => {
      const reserve = [block(64 * MiB), block(4 * MiB)]
      leave(2 * MiB)
      for (const tensor of reserve) tensor.dispose()
      const inUse = memoryStats('cuda').bytesInUse
      for (let i = 0; i < 3; i++) {
        const tight = block(66 * MiB) // of a class of 72
        tight.fill_(i)
        const last = tight.index(-1)
        expect(Number(last.item())).toBe(i)
        last.dispose()
        tight.dispose()
        expect(memoryStats('cuda').bytesInUse).toBe(inUse)
      }
      expect(() => block(90 * MiB)).toThrow(OutOfMemoryError)
      const small = [block(30 * MiB), block(30 * MiB)]
      for (const tensor of small) tensor.dispose()
    })
  },
)
