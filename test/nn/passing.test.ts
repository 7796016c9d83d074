import { describe, expect, it } from 'vitest'
import {
  F,
  getDefaultDevice,
  manualSeed,
  memoryStats,
  models,
  nn,
  noGrad,
  randn,
  scope,
  type Tensor,
} from '../../src/index.ts'

/** Remembers what went in and came out, as a layer of a user's may. */
class Watcher extends nn.Module {
  seen: Tensor[] = []
  override forward(x: Tensor): Tensor {
    const out = x.add(1)
    this.seen.push(x, out)
    return out
  }
}

/** Bytes that stay in use after the forward pass alone. */
function bytesOf(model: nn.Module, x: Tensor): number {
  return scope(() => {
    const before = memoryStats(getDefaultDevice()).bytesInUse
    model.forward(x)
    return memoryStats(getDefaultDevice()).bytesInUse - before
  })
}

describe('what one layer hands to the next', () => {
  it('is freed at once where no gradient needs it', () => {
    const relus = (count: number) => new nn.Sequential(...Array.from({ length: count }, () => new nn.ReLU()))
    const x = randn([64, 1024])
    const size = 64 * 1024 * 4
    noGrad(() => {
      expect(bytesOf(relus(1), x)).toBe(size)
      expect(bytesOf(relus(6), x)).toBe(size)
    })
  })

  it('is freed as the backward pass goes, and the gradients are those of layers called one by one', () => {
    manualSeed(1)
    const model = models.resnet18({ numClasses: 3 })
    const x = randn([2, 3, 64, 64])
    const gradients = (forward: (x: Tensor) => Tensor) =>
      scope(() => {
        model.zeroGrad()
        const out = forward(x)
        const held = memoryStats(getDefaultDevice()).bytesInUse
        out.square().sum().backward()
        return {
          held,
          left: memoryStats(getDefaultDevice()).bytesInUse,
          all: model.parameters().map((p) => p.grad!.clone()),
        }
      })
    gradients((x) => model.forward(x)) // gradients are there from now on
    const passed = gradients((x) => model.forward(x))
    const watched = model.modules().map((module) => module.registerForwardHook(() => {}))
    const kept = gradients((x) => model.forward(x))
    for (const hook of watched) hook.remove()
    expect(passed.left).toBeLessThan(kept.left - 2e6)
    expect(passed.held).toBeLessThan(kept.held)
    passed.all.forEach((gradient, i) => {
      expect(gradient.sub(kept.all[i]!).abs().max().item()).toBeLessThan(1e-4)
    })
  })

  it("stays as long as the scope where a user's layer has seen it", () => {
    const watcher = new Watcher()
    const model = new nn.Sequential(new nn.Linear(4, 4), watcher, new nn.ReLU(), new nn.Linear(4, 1))
    scope(() => {
      model
        .forward(randn([2, 4]))
        .sum()
        .backward()
      expect(watcher.seen.map((tensor) => tensor.isAlive)).toEqual([true, true])
      expect(watcher.seen[0]!.add(1).sub(watcher.seen[1]!).abs().max().item()).toBe(0)
    })
  })

  it('stays where a hook has seen it, in a layer or inside one', () => {
    const inner = new nn.Linear(4, 4)
    const model = new nn.Sequential(
      new nn.Linear(4, 4),
      new nn.Sequential(new nn.Tanh(), inner),
      new nn.ReLU(),
    )
    const seen: unknown[] = []
    inner.registerForwardHook((_, inputs, output) => {
      seen.push(inputs[0], output)
    })
    scope(() => {
      model
        .forward(randn([2, 4]))
        .sum()
        .backward()
      expect(seen.map((tensor) => (tensor as Tensor).isAlive)).toEqual([true, true])
    })
  })

  it('stays where it is handed on unchanged, or as a view', () => {
    const model = new nn.Sequential(
      new nn.Identity(),
      new nn.Dropout(0.5),
      new nn.Conv2d(1, 2, 1),
      new nn.Identity(),
      new nn.Flatten(),
      new nn.Identity(),
    )
    model.eval()
    const x = randn([3, 1, 2, 2])
    const out = model.forward(x)
    expect(x.isAlive).toBe(true)
    const conv = model.at(2) as nn.Conv2d
    expect(
      out
        .sub(F.conv2d(x, conv.weight, conv.bias).flatten(1))
        .abs()
        .max()
        .item(),
    ).toBe(0)
    expect(new nn.Sequential(new nn.Identity()).forward(x)).toBe(x)
  })

  it("stays in a class derived from one of the library's", () => {
    class Remembering extends nn.Sequential {
      last: Tensor | null = null
      override forward(x: Tensor): Tensor {
        this.last = super.forward(x)
        return this.last
      }
    }
    const inner = new Remembering(new nn.Linear(4, 4), new nn.ReLU())
    const out = noGrad(() => new nn.Sequential(inner, new nn.Linear(4, 1)).forward(randn([2, 4])))
    expect(out.shape).toEqual([2, 1])
    expect(inner.last!.isAlive).toBe(true)
  })
})
