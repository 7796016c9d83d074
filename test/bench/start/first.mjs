// A program's first step of training, as a user of the installed package writes it; first.py is its twin. The whole process
// is timed from outside.
import { F, manualSeed, nn, optim, randint, randn } from 'anneal'

class LeNet extends nn.Module {
  conv1 = new nn.Conv2d(3, 6, 5)
  conv2 = new nn.Conv2d(6, 16, 5)
  head = new nn.Sequential(
    new nn.Linear(400, 120),
    new nn.ReLU(),
    new nn.Linear(120, 84),
    new nn.ReLU(),
    new nn.Linear(84, 10),
  )

  forward(x) {
    x = F.maxPool2d(F.relu(this.conv1.forward(x)), 2)
    x = F.maxPool2d(F.relu(this.conv2.forward(x)), 2)
    return this.head.forward(x.flatten(1))
  }
}

manualSeed(0)
const model = new LeNet()
const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
const [x, y] = [randn([64, 3, 32, 32]), randint(10, [64])]
const loss = F.crossEntropy(model.forward(x), y)
loss.backward()
optimizer.step()
const [value] = await loss.data()
console.log(JSON.stringify({ loss: value, peakMegabytes: process.resourceUsage().maxRSS / 1024 }))
