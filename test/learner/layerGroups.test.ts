import { describe, expect, it } from 'vitest'
import { zeros } from '../../src/engine/index.ts'
import { leavesOf, partNormAndBias, splitModel } from '../../src/learner/layerGroups.ts'
import * as nn from '../../src/nn/index.ts'

const five = () =>
  new nn.Sequential(
    new nn.Linear(1, 1),
    new nn.ReLU(),
    new nn.Linear(1, 1),
    new nn.ReLU(),
    new nn.Linear(1, 1),
  )

class Scaled extends nn.Module {
  scale = new nn.Parameter(zeros([4]))
  inner = new nn.Sequential(new nn.Linear(2, 2), new nn.Sequential(new nn.BatchNorm1d(2)))
}

describe('layer groups', () => {
  it('are cut before the modules given', () => {
    const model = five()
    const groups = splitModel(model, [model.at(2)!, model.at(4)!])
    expect(groups.map(({ length }) => length)).toEqual([2, 2, 1]) // fastai's example, run
    const nested = new nn.Sequential({ body: five(), head: five() }) as nn.Sequential & {
      head: nn.Sequential
    }
    expect(splitModel(nested, [nested.head]).map(({ length }) => length)).toEqual([5, 5])
  })

  it('may be given as lists', () => {
    const model = five()
    const [a, b, c, d, e] = [...model]
    const groups = splitModel(model, [
      [a!, b!, c!],
      [d!, e!],
    ])
    expect(groups.map(({ length }) => length)).toEqual([3, 2])
  })

  it('lose no parameter that a module with children holds itself', () => {
    const model = new Scaled()
    expect(leavesOf(model).map((leaf) => leaf.constructor.name)).toEqual([
      'Linear',
      'BatchNorm1d',
      'ParameterModule',
    ])
    const [group] = splitModel(model, [[model]])
    expect(new Set(group!.parameters())).toEqual(new Set(model.parameters()))
  })

  it('part weights from norms and biases, trainable ones only, tied ones once', () => {
    const model = new Scaled()
    const [group] = splitModel(model, [[model]])
    const taken = new Set<nn.Parameter>()
    expect(partNormAndBias(group!, taken).map((part) => part.length)).toEqual([2, 3])
    expect(partNormAndBias(group!, taken).map((part) => part.length)).toEqual([0, 0])
    for (const parameter of model.parameters()) parameter.requiresGrad = false
    expect(partNormAndBias(group!, new Set()).map((part) => part.length)).toEqual([0, 0])
  })

  it('part as fastai does: layer norm and the biases of all linear and convolution layers, but not group norm', () => {
    const sizes = (layer: nn.Module) =>
      partNormAndBias(new nn.Sequential(layer), new Set()).map((part) => part.length)
    expect(sizes(new nn.LayerNorm(4))).toEqual([0, 2])
    expect(sizes(new nn.BatchNorm2d(4))).toEqual([0, 2])
    expect(sizes(new nn.GroupNorm(2, 4))).toEqual([2, 0])
    for (const layer of [
      new nn.Linear(2, 2),
      new nn.Conv1d(2, 2, 1),
      new nn.Conv2d(2, 2, 1),
      new nn.ConvTranspose1d(2, 2, 1),
      new nn.ConvTranspose2d(2, 2, 1),
    ]) {
      expect(sizes(layer)).toEqual([1, 1])
    }
    expect(sizes(new nn.Embedding(3, 2))).toEqual([1, 0])
  })

  it('say what is wrong with a split', () => {
    const model = five()
    expect(() => splitModel(model, [])).toThrow(/not empty/)
    expect(() => splitModel(model, [new nn.ReLU()])).toThrow(/a ReLU that is not part of it/)
    expect(() => splitModel(model, [model.at(4)!, model.at(2)!])).toThrow(/in the order of the model/)
    expect(() => splitModel(model, [[model.at(0)!]])).toThrow(
      /leave out 4 parameter\(s\).*2\.weight, 2\.bias/,
    )
  })
})
