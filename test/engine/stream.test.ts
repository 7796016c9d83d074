import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { cat, conv2d, KernelError, oneHot, randn, ShapeError, tensor, zeros } from '../../src/engine/index.ts'

describe('the stream', () => {
  it('leaves the event loop free while kernels run', async () => {
    let x = randn([1024, 1024])
    const factor = randn([1024, 1024]).mul(0.03)
    let ticks = 0
    const timer = setInterval(() => ticks++, 2)
    for (let i = 0; i < 20; i++) x = x.matmul(factor)
    await x.data()
    clearInterval(timer)
    expect(ticks).toBeGreaterThan(2)
  })

  it('runs in order however far JavaScript is ahead', () => {
    const x = zeros([4])
    for (let i = 0; i < 10000; i++) x.add_(1)
    expect(x.toArray()).toEqual([10000, 10000, 10000, 10000])
  })

  it('throws wrong shapes at once, with the shapes', () => {
    expect(() => zeros([2, 3]).matmul(zeros([4, 5]))).toThrow(ShapeError)
    expect(() => zeros([2, 3]).matmul(zeros([4, 5]))).toThrow(/\[2, 3\] and \[4, 5\]/)
    expect(() => zeros([2, 3]).add(zeros([4]))).toThrow(/\[2, 3\] and \[4\]/)
    expect(() => conv2d(zeros([1, 3, 8, 8]), zeros([4, 2, 3, 3]))).toThrow(/input channels/)
    expect(() => cat([zeros([2, 3]), zeros([2, 4])], 0)).toThrow(/dimension 1/)
  })

  it('keeps an error of a kernel for the next read, which names the op, and goes on', async () => {
    const wrong = oneHot(tensor([0, 7], { dtype: 'int64' }), 3)
    await expect(wrong.data()).rejects.toThrow(/one_hot: label 7 at position 1.*3 classes/)
    expect(zeros([2]).toArray()).toEqual([0, 0])
    const outside = zeros([3]).indexSelect(0, tensor([5], { dtype: 'int64' }))
    expect(() => outside.dataSync()).toThrow(/index 5 is out of range/)
    const divided = tensor([1], { dtype: 'int64' }).floorDivide(tensor([0], { dtype: 'int64' }))
    expect(() => divided.item()).toThrow(/floor_divide: integer division by zero/)
    expect(new KernelError('x').code).toBe('KERNEL')
  })

  it('runs each op to its end with ANNEAL_SYNC=1', () => {
    const engine = fileURLToPath(new URL('../../src/engine/index.ts', import.meta.url))
    const code = `import { zeros, tensor } from ${JSON.stringify(engine)}
      const x = zeros([3]).indexSelect(0, tensor([1], { dtype: 'int64' }))
      console.log(x.add(2).item())`
    const run = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      env: { ...process.env, ANNEAL_SYNC: '1' },
      encoding: 'utf8',
    })
    expect(run.stderr).toBe('')
    expect(run.stdout.trim()).toBe('2')
  })
})
