import { type DType, dtypeSize } from './dtype.ts'
import { OutOfMemoryError } from './errors.ts'

let left = Number.POSITIVE_INFINITY

/**
 * Runs `body`, which must be synchronous. The tensors that it makes of nothing (`zeros`, `empty`, random ones) may take so many bytes
 * all together; within another such call no more than the outer one has left.
 * @throws OutOfMemoryError before memory beyond it is taken
 */
export function withCreationLimit<Result>(bytes: number, body: () => Result): Result {
  const before = left
  const granted = Math.min(bytes, before)
  left = granted
  try {
    return body()
  } finally {
    left = before - (granted - left)
  }
}

/** A tensor is about to be made. */
export function admit(shape: readonly number[], dtype: DType): void {
  if (left === Number.POSITIVE_INFINITY) return
  const bytes = shape.reduce((product, size) => product * size, dtypeSize(dtype))
  if (bytes > left) {
    throw new OutOfMemoryError(
      `a tensor [${shape.join(', ')}] of ${dtype} would take ${bytes} bytes, where ${left} more may be taken`,
    )
  }
  left -= bytes
}
