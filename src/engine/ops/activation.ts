import { requireNumber, requireOptions, requireTensor, show } from '../check.ts'
import { ConfigError } from '../errors.ts'
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

/**
 * x, but never more than `limit`: the second half of ReLU6. Its slope at the limit itself is 0, as that of PyTorch's hardtanh;
 * `clamp` has 1 there.
 */
export function cap(x: Tensor, limit: number): Tensor {
  return record(call('clamp', x, null, limit), 'cap', [x], [x], (g, node) => [
    call('where', call('ge', node.saved(0), limit), 0, g),
  ])
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

export interface GeluOptions {
  /** 'tanh' computes Hendrycks and Gimpel's approximation. Default 'none'. */
  approximate?: 'none' | 'tanh' | undefined
}

/** x · Φ(x) with the normal distribution function Φ (Hendrycks and Gimpel 2016). */
export function gelu(x: Tensor, options: GeluOptions = {}): Tensor {
  requireTensor('gelu', 'input', x)
  requireOptions('gelu', options, ['approximate'])
  const { approximate = 'none' } = options
  if (approximate === 'tanh') {
    const cube = x.mul(x).mul(x)
    const inner = x.add(cube.mul(0.044715)).mul(Math.sqrt(2 / Math.PI))
    return x.mul(tanh(inner).add(1)).mul(0.5)
  }
  if (approximate !== 'none') {
    throw new ConfigError(`gelu: approximate must be 'none' or 'tanh', got ${show(approximate)}`)
  }
  return record(call('gelu', x), 'gelu', [x], [x], (g, node) => [call('gelu_backward', g, node.saved(0))])
}

/** log(1 + exp(x)); linear above 20, as in PyTorch. */
export function softplus(x: Tensor): Tensor {
  return record(call('softplus', x), 'softplus', [x], [x], (g, node) => [
    call('softplus_backward', g, node.saved(0)),
  ])
}

/** x where positive, alpha · (exp(x) - 1) elsewhere (Clevert et al. 2015). */
export function elu(x: Tensor, alpha = 1): Tensor {
  requireNumber('elu', 'alpha', alpha)
  return scaledElu('elu', x, alpha, 1)
}

/** ELU with the constants that keep activations at mean 0 and variance 1 (Klambauer et al. 2017). */
export function selu(x: Tensor): Tensor {
  return scaledElu('selu', x, 1.6732632423543772, 1.0507009873554805)
}

function scaledElu(name: string, x: Tensor, alpha: number, scale: number): Tensor {
  const bent = call('mul', call('expm1', x), alpha * scale)
  const straight = scale === 1 ? x : call('mul', x, scale)
  const out = call('where', call('gt', x, 0), straight, bent)
  return record(out, name, [x], [x], (g, node) => {
    const input = node.saved(0)
    const slope = call('mul', call('exp', input), alpha * scale)
    return [call('mul', g, call('where', call('gt', input, 0), scale, slope))]
  })
}

/** clamp(x / 6 + 1/2, 0, 1), a sigmoid of straight lines. */
export function hardsigmoid(x: Tensor): Tensor {
  const out = call('clamp', call('add', call('div', x, 6), 0.5), 0, 1)
  return record(out, 'hardsigmoid', [x], [x], (g, node) => {
    const input = node.saved(0)
    const bent = call('logical_and', call('gt', input, -3), call('lt', input, 3))
    return [call('where', bent, call('div', g, 6), 0)]
  })
}

/** x · hardsigmoid(x) (Howard et al. 2019). */
export function hardswish(x: Tensor): Tensor {
  const out = call('div', call('mul', x, call('clamp', call('add', x, 3), 0, 6)), 6)
  return record(out, 'hardswish', [x], [x], (g, node) => {
    const input = node.saved(0)
    const slope = call('add', call('div', input, 3), 0.5)
    const above = call('where', call('le', input, 3), slope, 1)
    return [call('mul', g, call('where', call('lt', input, -3), 0, above))]
  })
}

/** x · tanh(softplus(x)) (Misra 2019). */
export function mish(x: Tensor): Tensor {
  requireTensor('mish', 'input', x)
  return x.mul(tanh(softplus(x)))
}

/** The logarithm of sigmoid, without overflow. */
export function logSigmoid(x: Tensor): Tensor {
  return record(logSigmoidOf(x), 'logSigmoid', [x], [x], (g, node) => [
    call('mul', g, call('sigmoid', call('neg', node.saved(0)))),
  ])
}

// min(x, 0) - log(1 + exp(-|x|))
function logSigmoidOf(x: Tensor): Tensor {
  return call('sub', call('minimum', x, 0), call('log1p', call('exp', call('neg', call('abs', x)))))
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
