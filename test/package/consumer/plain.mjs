// Plain JavaScript: tensors, gradients, a hand-written training loop.
import assert from 'node:assert/strict'
import { F, manualSeed, nn, optim, randn, tensor } from 'anneal'
import * as callbacks from 'anneal/callbacks'

const x = tensor([1, 2, 3], { requiresGrad: true })
x.mul(x).sum().backward()
assert.deepEqual(x.grad.toArray(), [2, 4, 6])
assert.equal(typeof callbacks.SaveModelCallback, 'function')

manualSeed(0)
const model = new nn.Sequential(new nn.Linear(2, 16), new nn.ReLU(), new nn.Linear(16, 2))
const optimizer = new optim.Adam(model.parameters(), { lr: 0.02 })
const points = randn([200, 2])
const labels = points.index(':', 0).mul(points.index(':', 1)).gt(0).long() // which quadrants
let loss
for (let step = 0; step < 200; step++) {
  optimizer.zeroGrad()
  loss = F.crossEntropy(model.forward(points), labels)
  loss.backward()
  optimizer.step()
}
assert.ok(loss.item() < 0.2, `the loss is still ${loss.item()}`)
console.log('ok')
