// MLP and LeNet in TensorFlow.js, where it is installed: runs one case and prints one JSON line.
// Usage: tensorFlow.mjs CASE STEPS cpu|wasm THREADS. Plain JavaScript, since its declarations are not there to check against.
import { createRequire } from 'node:module'
import path from 'node:path'
import process from 'node:process'

const [name, steps, backend, threads] = process.argv.slice(2)
const tf = await import('@tensorflow/tfjs')
if (backend === 'wasm') {
  const wasm = await import('@tensorflow/tfjs-backend-wasm')
  const file = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm')
  wasm.setWasmPaths(`${path.dirname(file)}${path.sep}`)
  wasm.setThreadsCount(Number(threads))
}
if (!(await tf.setBackend(backend))) throw new Error(`the backend ${backend} did not start`)
await tf.ready()

const dense = (inputs, units) => ({
  weight: tf.variable(tf.randomUniform([inputs, units], -(inputs ** -0.5), inputs ** -0.5)),
  bias: tf.variable(tf.zeros([units])),
})
const kernel = (inputs, outputs) => ({
  weight: tf.variable(
    tf.randomUniform([5, 5, inputs, outputs], -((25 * inputs) ** -0.5), (25 * inputs) ** -0.5),
  ),
  bias: tf.variable(tf.zeros([outputs])),
})
const through = (layers, x) =>
  layers.reduce((value, { weight, bias }, i) => {
    const out = value.matMul(weight).add(bias)
    return i < layers.length - 1 ? out.relu() : out
  }, x)

function perceptron(batch) {
  const layers = [dense(80, 10), dense(10, 5), dense(5, 1)]
  const [x, y] = [tf.randomNormal([batch, 80]), tf.randomNormal([batch, 1])]
  return [tf.train.adam(1e-3), () => through(layers, x).sub(y).square().mean()]
}

function lenet(batch) {
  const [first, second] = [kernel(3, 6), kernel(6, 16)]
  const layers = [dense(400, 120), dense(120, 84), dense(84, 10)]
  const x = tf.randomNormal([batch, 32, 32, 3])
  const y = tf.oneHot(tf.randomUniform([batch], 0, 10, 'int32'), 10)
  const convolve = (value, { weight, bias }) =>
    value.conv2d(weight, 1, 'valid').add(bias).relu().maxPool(2, 2, 'valid')
  return [
    tf.train.momentum(0.01, 0.9),
    () =>
      tf.losses.softmaxCrossEntropy(
        y,
        through(layers, convolve(convolve(x, first), second).flatten().reshape([batch, 400])),
      ),
  ]
}

const batch = Number(/batch (\d+)$/.exec(name)[1])
const [optimizer, loss] = name.startsWith('MLP') ? perceptron(batch) : lenet(batch)
const times = []
let last = 0
const began = performance.now()
// The backend in plain JavaScript needs seconds a step: one step, and as many more as begin within three seconds.
for (let i = -1; i < Number(steps) && (i < 1 || performance.now() - began < 3000); i++) {
  const start = performance.now()
  const value = optimizer.minimize(loss, true)
  last = (await value.data())[0]
  value.dispose()
  if (i >= 0) times.push(performance.now() - start)
}
console.log(JSON.stringify({ times, loss: last, peakMegabytes: process.resourceUsage().maxRSS / 1024 }))
