// Whole steps on a GPU: what they keep, and that recorded ones are graphs.
import { describe, expect, it } from 'vitest'
import { addon } from '../../src/engine/addon.ts'
import { Recording } from '../../src/engine/recording.ts'
import {
  conv2d,
  crossEntropy,
  dropout,
  manualSeed,
  memoryStats,
  nn,
  ones,
  optim,
  randint,
  randn,
  scope,
  type Tensor,
} from '../../src/index.ts'
import { runEveryFamily } from './everyFamily.ts'

const { devices, emulated } = addon.cudaInfo()

describe.skipIf(devices.length === 0)('steps on a GPU', () => {
  it('does a little of every family', () => {
    for (const number of runEveryFamily()) expect(Number.isFinite(number)).toBe(true)
  })

  it('keeps nothing from step to step, as they come and recorded', () => {
    const model = new nn.Sequential(
      new nn.Conv2d(3, 4, 3),
      new nn.BatchNorm2d(4),
      new nn.ReLU(),
      new nn.Flatten(),
      new nn.Dropout(0.2),
      new nn.Linear(4 * 16, 3),
    ).to('cuda')
    const optimizer = new optim.Adam(model.parameters(), { lr: 1e-3 })
    const x = randn([4, 3, 6, 6], { device: 'cuda' })
    const y = randint(3, [4], { device: 'cuda' })
    const step = () =>
      scope(() => {
        crossEntropy(model.forward(x) as Tensor, y).backward()
        optimizer.step()
        optimizer.zeroGrad()
      })
    const used = () => {
      const { bytesInUse, systemAllocations } = memoryStats('cuda')
      return { bytesInUse, systemAllocations }
    }
    for (let i = 0; i < 3; i++) step()
    const before = used()
    for (let i = 0; i < (emulated ? 20 : 200); i++) step()
    expect(scope(() => model.parameters()[0]!.sum().isfinite().item())).toBeTruthy()
    // Under a sanitizer every tensor is an allocation of its own.
    const { bytesInUse, systemAllocations } = used()
    expect(bytesInUse).toBe(before.bytesInUse)
    if (!process.env.ANNEAL_SANITIZED) expect(systemAllocations).toBeLessThan(before.systemAllocations + 3)

    const { recording, result } = Recording.of(() => model.forward(x) as Tensor)
    const recorded = used().bytesInUse
    for (let i = 0; i < (emulated ? 20 : 200); i++) recording.replay()
    expect(scope(() => result.sum().isfinite().item())).toBeTruthy()
    expect(used().bytesInUse).toBe(recorded)
    recording.dispose()
  })

  it.skipIf(emulated)('captures a step as a graph, with fresh masks of dropout in it', () => {
    manualSeed(3)
    const x = ones([64, 64], { device: 'cuda' })
    const weight = randn([8, 3, 3, 3], { device: 'cuda' }).requiresGrad_()
    const pictures = randn([2, 3, 8, 8], { device: 'cuda' })
    conv2d(pictures, weight).sum().backward()
    const { recording, result } = Recording.of(() => {
      conv2d(pictures, weight).sum().backward()
      return dropout(x, 0.5)
    })
    const seen = new Set([String(result.dataSync())])
    for (let i = 0; i < 3; i++) {
      recording.replay()
      seen.add(String(result.dataSync()))
    }
    expect(recording.isGraph).toBe(true)
    expect(seen.size).toBe(4)
    recording.dispose()
  })

  it('many small copies and large ones between them arrive, each with its own values', () => {
    const large = randn([300_000], { device: 'cpu' })
    const parts: Tensor[] = []
    const sums: number[] = []
    for (let i = 0; i < (emulated ? 60 : 2000); i++) {
      const small = ones([i % 9 === 0 ? 60_000 : 1 + (i % 700)], { device: 'cpu' }).mul(i)
      parts.push(small.to('cuda').mean())
      if (i % 20 === 0) sums.push(large.to('cuda').sub(large.to('cuda')).abs().sum().item())
    }
    expect(parts.map((part) => Math.round(part.item()))).toEqual(parts.map((_, i) => i))
    expect(new Set(sums)).toEqual(new Set([0]))
  })
})
