import { maxPool2d, relu, type Tensor } from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'

/** The network of the training fixtures, for pictures of 32 x 32 pixels. */
export class LeNet extends nn.Module {
  conv1 = new nn.Conv2d(3, 6, 5)
  conv2 = new nn.Conv2d(6, 16, { kernelSize: 5, stride: 1, padding: 0 })
  head = new nn.Sequential(
    new nn.Linear(400, 120),
    new nn.ReLU(),
    new nn.Linear(120, 84),
    new nn.ReLU(),
    new nn.Linear(84, 10),
  )

  override forward(x: Tensor): Tensor {
    x = maxPool2d(relu(this.conv1.forward(x)), 2)
    x = maxPool2d(relu(this.conv2.forward(x)), 2)
    return this.head.forward(x.flatten(1))
  }
}
