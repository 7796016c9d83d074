import { createHash } from 'node:crypto'
import * as engine from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'

/** Three steps of a small network from a known seed, as a digest of its loss and weights: the same bits each time, if all is well. */
export function knownStep(): string {
  const before = engine.getRngState()
  try {
    return engine.scope(() => {
      engine.manualSeed(7)
      const model = new nn.Sequential(
        new nn.Conv2d(1, 4, 3, { padding: 1 } as never),
        new nn.BatchNorm2d(4),
        new nn.ReLU(),
        new nn.Flatten(),
        new nn.Dropout(0.2),
        new nn.Linear(64, 3),
      )
      const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 })
      const x = engine.randn([6, 1, 4, 4])
      const y = engine.randint(0, 3, [6])
      const digest = createHash('sha256')
      for (let step = 0; step < 3; step++) {
        optimizer.zeroGrad()
        const loss = engine.crossEntropy(model.forward(x), y)
        loss.backward()
        optimizer.step()
        digest.update(String(loss.item()))
      }
      for (const parameter of model.parameters())
        digest.update(new Uint8Array(parameter.dataSync().buffer as ArrayBuffer))
      return digest.digest('hex').slice(0, 16)
    })
  } finally {
    engine.setRngState(before)
  }
}
