import { isTracked, record } from '../graph.ts'
import { call, callMany } from '../native.ts'
import { convolve } from '../ops/conv.ts'
import { toDType } from '../ops/convert.ts'
import { transposed } from '../ops/convTranspose.ts'
import { arange } from '../ops/create.ts'
import { gather } from '../ops/indexing.ts'
import { adaptiveAvgPool2d } from '../ops/pool.ts'
import { sum } from '../ops/reduce.ts'
import type { RecordedOp } from '../recordedWalk.ts'
import type { Tensor } from '../tensor.ts'

type Pair = readonly number[]
/** Stride, padding and dilation; groups. */
type Geometry = readonly [stride: Pair, padding: Pair, dilation: Pair, groups: number]

// A convolution is linear in its input and in its weight, so that the gradient of each of its gradients is one of the three:
// itself, the gradient to the input, or that to the weight.

function toInput(g: Tensor, weight: Tensor, shape: Pair, ...geometry: Geometry): Tensor {
  const out = call('conv2d_backward_input', g, weight, shape, ...geometry)
  return record(out, 'conv2d_backward_input', [g, weight], [g, weight], (v, node) => [
    node.needs(0) ? call('conv2d', v, node.saved(1), null, ...geometry) : null,
    node.needs(1) ? weightGradient(node.saved(0), v, node.saved(1), geometry) : null,
  ])
}

function toWeight(g: Tensor, input: Tensor, weight: Tensor, geometry: Geometry): Tensor {
  const out = weightGradient(g, input, weight, geometry)
  const { shape } = input
  return record(out, 'conv2d_backward_weight', [g, input], [g, input], (v, node) => [
    node.needs(0) ? call('conv2d', node.saved(1), v, null, ...geometry) : null,
    node.needs(1) ? call('conv2d_backward_input', node.saved(0), v, shape, ...geometry) : null,
  ])
}

// Of the weight only its shape and dtype count.
function weightGradient(g: Tensor, input: Tensor, weight: Tensor, geometry: Geometry): Tensor {
  return callMany('conv2d_backward_weight', g, input, weight, false, ...geometry)[0] as Tensor
}

function toWeightAndBias(g: Tensor, input: Tensor, weight: Tensor, withBias: boolean, ...geometry: Geometry) {
  return [toWeight(g, input, weight, geometry), withBias ? sum(g, [0, 2, 3]) : null]
}

// Means over windows are linear: the gradient of their gradient is the means of what comes.
function averagedBack(
  g: Tensor,
  shape: Pair,
  kernel: Pair,
  stride: Pair,
  padding: Pair,
  ...counting: [boolean, number | undefined]
): Tensor {
  const out = call('avg_pool2d_backward', g, shape, kernel, stride, padding, ...counting)
  if (!isTracked([g])) return out
  const size = g.shape.join()
  return record(out, 'avg_pool2d_backward', [g], [], (v) => {
    const means = (ceilMode: boolean) => call('avg_pool2d', v, kernel, stride, padding, ceilMode, ...counting)
    const floored = means(false)
    return [floored.shape.join() === size ? floored : means(true)]
  })
}

/** Where each window's winner stands in its picture [H · W]; the engine keeps its number within the window. */
function winners(taps: Tensor, height: number, width: number, geometry: readonly Pair[]): Tensor {
  const [kernel, stride, padding, dilation] = geometry as [Pair, Pair, Pair, Pair]
  const tap = toDType(taps, 'int64')
  const places = [tap.floorDivide(kernel[1] as number), tap.remainder(kernel[1] as number)].map((step, i) => {
    const count = taps.size(2 + i)
    const first = arange(count, { device: taps.device })
      .mul(stride[i] as number)
      .sub(padding[i] as number)
    return step.mul(dilation[i] as number).add(i === 0 ? first.reshape([count, 1]) : first)
  }) as [Tensor, Tensor]
  return places[0]
    .clamp(0, height - 1)
    .mul(width)
    .add(places[1].clamp(0, width - 1))
}

function maximaBack(g: Tensor, taps: Tensor, shape: Pair, ...geometry: [Pair, Pair, Pair, Pair]): Tensor {
  const out = call('max_pool2d_backward', g, taps, shape, ...geometry)
  return record(out, 'max_pool2d_backward', [g], [taps], (v, node) => {
    const [count, channels, height, width] = shape as [number, number, number, number]
    const places = winners(node.saved(0), height, width, geometry)
    const lines = v.reshape([count, channels, height * width])
    return [gather(lines, 2, places.reshape([count, channels, -1])).reshape(places.shape)]
  })
}

function adaptedBack(g: Tensor, shape: Pair): Tensor {
  const size = g.shape.slice(-2)
  return record(
    call('adaptive_avg_pool2d_backward', g, shape),
    'adaptive_avg_pool2d_backward',
    [g],
    [],
    (v) => [call('adaptive_avg_pool2d', v, size)],
  )
}

function interpolatedBack(g: Tensor, shape: Pair, ...how: [boolean, boolean, number, number]): Tensor {
  const size = g.shape.slice(-2)
  return record(call('interpolate2d_backward', g, shape, ...how), 'interpolate2d_backward', [g], [], (v) => [
    call('interpolate2d', v, size, ...how),
  ])
}

function droppedBack(g: Tensor, mask: Tensor, p: number): Tensor {
  return record(call('dropout_backward', g, mask, p), 'dropout_backward', [g], [mask], (v, node) => [
    call('dropout_backward', v, node.saved(0), p),
  ])
}

export const convolutionOps: Record<string, RecordedOp> = {
  conv2d: (
    x: Tensor,
    weight: Tensor,
    bias: Tensor | null,
    ...[stride, padding, dilation, groups]: Geometry
  ) => convolve('conv2d', x, weight, bias, { stride, padding, dilation, groups }),
  conv_transpose2d: (
    x: Tensor,
    weight: Tensor,
    bias: Tensor | null,
    stride: Pair,
    padding: Pair,
    outputPadding: Pair,
    dilation: Pair,
    groups: number,
  ) => transposed('convTranspose2d', x, weight, bias, { stride, padding, outputPadding, dilation, groups }),
  conv2d_backward_input: toInput,
  conv2d_backward_weight: toWeightAndBias,
  max_pool2d_backward: maximaBack,
  avg_pool2d_backward: averagedBack,
  adaptive_avg_pool2d_backward: adaptedBack,
  adaptive_avg_pool2d: adaptiveAvgPool2d,
  interpolate2d_backward: interpolatedBack,
  dropout_backward: droppedBack,
}

export const convolutionNames = [
  ...['conv1d', 'conv2d', 'convTranspose1d', 'convTranspose2d', 'conv2d_backward_input'],
  ...[
    'conv2d_backward_weight',
    'maxPool2d',
    'avgPool2d',
    'adaptiveAvgPool2d',
    'adaptive_avg_pool2d_backward',
  ],
  ...['interpolate', 'dropout', 'dropout_backward'],
]
