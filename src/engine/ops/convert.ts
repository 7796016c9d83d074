import { requireTensor } from '../check.ts'
import { device, deviceNumber } from '../device.ts'
import { type DType, dtypeCode, dtypes } from '../dtype.ts'
import { record } from '../graph.ts'
import { addMethods } from '../methods.ts'
import { call } from '../native.ts'
import type { Tensor } from '../tensor.ts'

declare module '../tensor.ts' {
  interface Tensor {
    /** As another dtype or on another device; itself when nothing changes. */
    to(target: DType | (string & {})): Tensor
    /** As float32. */
    float(): Tensor
    /** As float64. */
    double(): Tensor
    /** As int64. */
    long(): Tensor
    /** As int32. */
    int(): Tensor
    /** As bool: true where not zero. */
    bool(): Tensor
  }
}

export function toDType(x: Tensor, dtype: DType): Tensor {
  requireTensor('toDType', 'first argument', x)
  if (x.dtype === dtype) return x
  const from = x.dtype
  return record(call('to_dtype', x, dtypeCode(dtype)), 'to', [x], [], (g) => [
    g.dtype === from ? g : call('to_dtype', g, dtypeCode(from)),
  ])
}

/** On the device of that number; itself when it is there already. */
export function toDevice(x: Tensor, number: number): Tensor {
  const from = x.deviceNumber
  if (from === number) return x
  return record(call('to_device', x, number), 'to', [x], [], (g) => [call('to_device', g, from)])
}

addMethods({
  to(target) {
    if ((dtypes as readonly string[]).includes(target)) return toDType(this, target as DType)
    return toDevice(this, deviceNumber(device(target)))
  },
  float() {
    return toDType(this, 'float32')
  },
  double() {
    return toDType(this, 'float64')
  },
  long() {
    return toDType(this, 'int64')
  },
  int() {
    return toDType(this, 'int32')
  },
  bool() {
    return toDType(this, 'bool')
  },
})
