// Accuracy of a ResNet18 that PyTorch trained on CIFAR-10, on every fifth test picture, through our pipeline and through torchvision's
// (accuracyPeer.py): resized to 64 pixels and normalised. `npx tsx test/bench/accuracy.ts WEIGHTS DIR`, DIR having test/<class>/*.jpg.
import { execFile } from 'node:child_process'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  DataLoader,
  ImageFolder,
  imagenetStats,
  models,
  noGrad,
  scope,
  transforms as T,
} from '../../src/index.ts'

const here = path.dirname(fileURLToPath(import.meta.url))
const [weights = '../shared/weights/resnet18-cifar10.pth', dir = 'cifar10'] = process.argv.slice(2)
const python = process.env.ANNEAL_BENCH_PYTHON ?? 'python3'

const transform = T.compose([
  T.resize([64, 64]),
  T.toTensor(),
  T.normalize(imagenetStats.mean, imagenetStats.std),
])
const all = new ImageFolder(path.join(dir, 'test'), { transform })
const chosen = all.subset(Array.from({ length: Math.ceil(all.length / 5) }, (_, at) => at * 5))
const model = models.resnet18({ numClasses: 10, weights }).eval()
let right = 0
for await (const { x, y } of new DataLoader(chosen, { batchSize: 50 })) {
  right += scope(() => noGrad(() => model.forward(x).argmax(1).eq(y).sum().item()))
  x.dispose()
}
console.log(`ours: ${((100 * right) / chosen.length).toFixed(2)} % of ${chosen.length} pictures`)
const { stdout } = await promisify(execFile)(python, [path.join(here, 'accuracyPeer.py'), weights, dir])
console.log(stdout.trim())
