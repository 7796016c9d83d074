import { describe, expect, it } from 'vitest'
import { tensor } from '../../src/engine/index.ts'
import { splitModel } from '../../src/learner/layerGroups.ts'
import { type OptimizerOption, OptimizerWrapper } from '../../src/learner/OptimizerWrapper.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'

class Net extends nn.Module {
  first = new nn.Linear(2, 3)
  norm = new nn.BatchNorm1d(3)
  second = new nn.Linear(3, 1)
}

const wrap = (
  model: nn.Module,
  optimizer: OptimizerOption,
  options: { trueWd?: boolean; bnWd?: boolean } = {},
  split: readonly nn.Module[] = [],
) =>
  new OptimizerWrapper(optimizer, splitModel(model, split.length > 0 ? split : [[model]]), {
    trueWd: true,
    bnWd: true,
    ...options,
  })

const adam: OptimizerOption = (params, options) => new optim.Adam(params, { ...options, betas: [0.9, 0.99] })
const momentum: OptimizerOption = (params, options) => new optim.SGD(params, { ...options, momentum: 0.9 })

// fastai v1's OptimWrapper, run: p = 1, gradients 0.1, -0.2, 0.3, lr 0.1, wd 0.1.
const table = [
  ['Adam', adam, true, 0.1, [0.89, 0.9176608, 0.8742484]],
  ['Adam', adam, false, 0.1, [0.9, 0.8771426, 0.8132907]],
  ['Adam', adam, true, 0, [0.9, 0.9365608, 0.902325]],
  ['SGD', optim.SGD, true, 0.1, [0.98, 0.9902, 0.950298]],
  ['SGD', optim.SGD, false, 0.1, [0.98, 0.9902, 0.950298]],
  ['SGD', optim.SGD, true, 0, [0.99, 1.01, 0.98]],
  ['SGD with momentum', momentum, true, 0.1, [0.98, 0.9812, 0.951288]],
  ['SGD with momentum', momentum, false, 0.1, [0.98, 0.9722, 0.925458]],
  ['SGD with momentum', momentum, true, 0, [0.99, 1.001, 0.9809]],
  ['RMSprop', optim.RMSprop, true, 0.1, [-0.009999, 0.8854236, 0.0730652]],
  ['RMSprop', optim.RMSprop, false, 0.1, [4e-7, 0.7088813, -0.0884749]],
  ['RMSprop', optim.RMSprop, true, 0, [1e-6, 0.8953236, 0.0918193]],
] as const

describe('steps', () => {
  it.each(table)('%s, trueWd %#', (_name, optimizer, trueWd, wd, expected) => {
    const model = new nn.Linear(1, 1, { bias: false })
    model.weight.detach().fill_(1)
    const wrapper = wrap(model, optimizer, { trueWd })
    wrapper.lr = 0.1
    wrapper.wd = wd
    const weights = [0.1, -0.2, 0.3].map((gradient) => {
      model.weight.grad = tensor([[gradient]])
      wrapper.step()
      wrapper.zeroGrad()
      return model.weight.item()
    })
    expect(weights).toEqual(expected.map((value) => expect.closeTo(value, 5)))
  })

  it.each([
    [true, [0.999, 0.999, 0.999]],
    [false, [0.999, 1, 1]],
  ])('with bnWd %s and no gradient but decay: weight, bias, norm', (bnWd, expected) => {
    for (const optimizer of [adam, momentum]) {
      const model = new Net()
      const wrapper = wrap(model, optimizer, { bnWd })
      wrapper.lr = 0.1
      wrapper.wd = 0.01
      const parameters = [model.first.weight, model.first.bias!, model.norm.weight!]
      for (const parameter of parameters) {
        parameter.detach().fill_(1)
        parameter.grad = parameter.detach().mul(0)
      }
      wrapper.step()
      const values = parameters.map((parameter) => parameter.dataSync()[0]!)
      expect(values).toEqual(expected.map((value) => expect.closeTo(value, 6)))
    }
  })

  it('leaves what has no gradient alone, decay included', () => {
    const model = new Net()
    model.first.weight.detach().fill_(1)
    const wrapper = wrap(model, optim.SGD)
    wrapper.wd = 0.5
    wrapper.step()
    expect(model.first.weight.dataSync()[0]).toBe(1)
  })
})

describe('hyper-parameters', () => {
  it('reads the last group and sets all or each', () => {
    const model = new Net()
    const wrapper = wrap(model, adam, {}, [model.first, model.norm, model.second])
    expect(wrapper.groupCount).toBe(3)
    wrapper.lr = [1, 2, 3]
    expect(wrapper.lr).toBe(3)
    expect(wrapper.lrs).toEqual([1, 2, 3])
    expect(wrapper.inner.paramGroups.map(({ lr }) => lr)).toEqual([1, 1, 2, 2, 3, 3])
    wrapper.lr = 0.5
    expect(wrapper.lrs).toEqual([0.5, 0.5, 0.5])
    wrapper.momentum = 0.8
    wrapper.beta = 0.95
    expect(wrapper.inner.paramGroups.map(({ betas }) => betas)).toEqual(Array(6).fill([0.8, 0.95]))
    wrapper.resetMomentum()
    expect([wrapper.momentum, wrapper.beta]).toEqual([0.9, 0.99])
    expect(() => {
      wrapper.lr = [1, 2]
    }).toThrow(/2 learning rates for 3 layer group/)
    expect(() => {
      wrapper.momentum = -1
    }).toThrow(/momentum must be/)
    expect(() => {
      wrapper.wd = Number.NaN
    }).toThrow(/wd must be/)
  })

  it("steers SGD's momentum even where it began at 0, and passes over optimizers without", () => {
    const sgd = wrap(new Net(), optim.SGD)
    sgd.momentum = 0.9
    expect(sgd.inner.paramGroups.map((group) => group.momentum)).toEqual([0.9, 0.9])
    const adagrad = wrap(new Net(), optim.Adagrad)
    adagrad.momentum = 0.9
    expect(adagrad.momentum).toBeUndefined()
  })

  it('says what is wrong with an optimizer option', () => {
    const bad = (made: unknown) => () => wrap(new Net(), (() => made) as unknown as OptimizerOption)
    expect(bad(undefined)).toThrow(/must be an optimizer class/)
    expect(bad({})).toThrow(/without paramGroups/)
    const one = (params: { params: object[] }[]) =>
      new optim.SGD(params.flatMap(({ params }) => params) as never, { lr: 1 })
    expect(() => wrap(new Net(), one as unknown as OptimizerOption)).toThrow(
      /has 1 parameter groups, but was given 2/,
    )
  })
})

describe('regroup', () => {
  it('keeps what is remembered of parameters that stay trainable', () => {
    const model = new Net()
    const groups = splitModel(model, [model.first, model.second])
    const wrapper = new OptimizerWrapper(adam, groups, { trueWd: true, bnWd: true })
    wrapper.lr = [0.1, 0.2]
    for (const parameter of model.parameters()) parameter.grad = parameter.detach().clone()
    wrapper.step()
    const kept = wrapper.inner.state.get(model.second.weight)
    for (const parameter of model.first.parameters()) parameter.requiresGrad = false
    wrapper.regroup(groups)
    expect(wrapper.inner.paramGroups.map(({ params }) => params.length)).toEqual([0, 2, 1, 1])
    expect(wrapper.inner.state.get(model.second.weight)).toBe(kept)
    expect(wrapper.inner.state.has(model.first.weight)).toBe(false)
    expect(model.first.weight.grad).toBeNull()
    expect(wrapper.lrs).toEqual([0.1, 0.2])
  })
})
