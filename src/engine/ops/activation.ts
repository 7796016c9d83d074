import { record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** max(x, 0) */
    relu(): Tensor
    /** 1 / (1 + exp(-x)) */
    sigmoid(): Tensor
    tanh(): Tensor
  }
}

/** max(x, 0) */
export function relu(x: Tensor): Tensor {
  const y = call('relu', x)
  return record(y, 'relu', [x], [y], (g, node) => [call('relu_backward', g, node.saved(0))])
}

/** x where positive, `slope` · x elsewhere (Maas et al. 2013). */
export function leakyRelu(x: Tensor, slope = 0.01): Tensor {
  return record(call('leaky_relu', x, slope), 'leakyRelu', [x], [x], (g, node) => [
    call('leaky_relu_backward', g, node.saved(0), slope),
  ])
}

/** 1 / (1 + exp(-x)) */
export function sigmoid(x: Tensor): Tensor {
  const y = call('sigmoid', x)
  return record(y, 'sigmoid', [x], [y], (g, node) => [call('sigmoid_backward', g, node.saved(0))])
}

export function tanh(x: Tensor): Tensor {
  const y = call('tanh', x)
  return record(y, 'tanh', [x], [y], (g, node) => [call('tanh_backward', g, node.saved(0))])
}

/** x · sigmoid(x), also called swish (Ramachandran et al. 2017). */
export function silu(x: Tensor): Tensor {
  return record(call('silu', x), 'silu', [x], [x], (g, node) => [call('silu_backward', g, node.saved(0))])
}

/** x · Φ(x) with the exact normal distribution function (Hendrycks and Gimpel 2016). */
export function gelu(x: Tensor): Tensor {
  return record(call('gelu', x), 'gelu', [x], [x], (g, node) => [call('gelu_backward', g, node.saved(0))])
}

/** log(1 + exp(x)); linear above 20, as in PyTorch. */
export function softplus(x: Tensor): Tensor {
  return record(call('softplus', x), 'softplus', [x], [x], (g, node) => [
    call('softplus_backward', g, node.saved(0)),
  ])
}

addMethods({
  relu() {
    return relu(this)
  },
  sigmoid() {
    return sigmoid(this)
  },
  tanh() {
    return tanh(this)
  },
})
