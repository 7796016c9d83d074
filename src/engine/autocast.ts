import { requireFunction, show } from './check.ts'
import { ConfigError } from './errors.ts'
import { toDType } from './ops/convert.ts'
import { engineState, withState } from './state.ts'
import type { Tensor } from './tensor.ts'

/** What `autocast` computes in; 'float32' switches it off for what runs inside. */
export type AutocastDType = 'bfloat16' | 'float16' | 'float32'

/**
 * Mixed precision for what runs inside `body` (synchronous or not), as torch.autocast (Micikevicius et al. 2018,
 * Kalamkar et al. 2019): convolutions, linear layers and matrix products take their float32 inputs in the given dtype and give
 * that; losses and softmax take theirs in float32. Parameters, their gradients and the optimizer stay in float32,
 * normalisations keep their statistics in it. Wrap the forward pass and the loss; `backward()` stands outside or inside.
 * float64 tensors are left alone. Gradients in float16 vanish below 6e-8: scale the loss (`learner.toFp16()` does).
 * @throws ConfigError for another dtype.
 */
export function autocast<T>(dtype: AutocastDType, body: () => T): T {
  if (dtype !== 'bfloat16' && dtype !== 'float16' && dtype !== 'float32') {
    throw new ConfigError(
      `autocast: the dtype must be 'bfloat16' or 'float16', or 'float32' for none, got ${show(dtype)}`,
    )
  }
  requireFunction('autocast', 'body', body)
  return withState({ autocast: dtype === 'float32' ? null : dtype }, body)
}

/** An input of an op that autocast runs in low precision. */
export function lowered<T extends Tensor | null>(x: T): T | Tensor {
  const { autocast: target } = engineState()
  return target !== null && x !== null && x.dtype === 'float32' ? toDType(x, target) : x
}

/** An input of an op that autocast runs in float32. */
export function raised<T extends Tensor | null>(x: T): T | Tensor {
  if (engineState().autocast === null || x === null) return x
  return x.dtype === 'bfloat16' || x.dtype === 'float16' ? toDType(x, 'float32') : x
}
