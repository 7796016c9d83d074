import { dtypes, isFloatingPoint } from '../engine/dtype.ts'
import { DTypeError } from '../engine/errors.ts'
import { type DType, device, noGrad, type Tensor } from '../engine/index.ts'
import type { TensorScope } from '../engine/state.ts'
import type { Module } from './Module.ts'

/** Behind {@link Module.to}. */
export function convertModule(module: Module, target: string): void {
  const isDType = (dtypes as readonly string[]).includes(target)
  if (isDType && !isFloatingPoint(target as DType)) {
    throw new DTypeError(
      `to: modules hold floating values, not ${target}; choose float32, float64, bfloat16 or float16`,
    )
  }
  const place = isDType ? null : device(target)
  noGrad(() => {
    for (const tensor of [...module.parameters(), ...module.buffers()]) {
      for (const part of [tensor, tensor.accumulated]) {
        if (part === null) continue
        const stays = place === null ? !isFloatingPoint(part.dtype) : part.device === place
        if (!stays) takeOver(part, part.to(target as DType))
      }
    }
  })
}

/**
 * Gives `target` the memory, dtype and device of `source`, which is freed. The object stays the same, so that optimizers and
 * modules that hold it go on with the converted values. Histories that saved the old values refuse to go backward.
 */
function takeOver(target: Tensor, source: Tensor): void {
  if (target === source) return
  // In a scope that nobody closes, neither is registered with the collector while the handles change hands.
  const between: TensorScope = { tensors: [] }
  target.moveTo(between)
  source.moveTo(between)
  const handle = target.handle
  target.handle = source.handle
  source.handle = handle
  ;(target as unknown as { description: null }).description = null
  target.versionCounter.value++
  target.keep()
  source.free()
}
