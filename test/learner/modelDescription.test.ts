import { expect, it } from 'vitest'
import { buildModel, describeModel } from '../../src/learner/modelDescription.ts'
import * as nn from '../../src/nn/index.ts'

it('names and their order, of a Sequential whose names are numbers and others', () => {
  const model = new nn.Sequential({ a: new nn.Linear(1, 2), b: new nn.ReLU() }).append(new nn.Linear(2, 1))
  const description = describeModel(model)
  expect(String(buildModel(description!))).toBe(String(model))
})
