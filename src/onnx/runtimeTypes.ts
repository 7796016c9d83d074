import type { DType } from '../engine/index.ts'

type Through = Partial<Record<DType, DType>>

const smallWhole: Through = { bool: 'int32', uint8: 'int32' }
const bool: Through = { bool: 'int32' }
const double: Through = { float64: 'float32' }
const integers: Through = { bool: 'float32', uint8: 'float32', int32: 'float32', int64: 'float32' }

/**
 * Node types that ONNX, or onnxruntime's processor kernels, do not have for some dtypes, and the dtype in which they are
 * computed then. All that an int32 makes of truth values and bytes is theirs again after a cast back.
 */
const GROUPS: readonly [through: Through, types: string][] = [
  [bool, 'Abs Sign Add Sub Mul Max Min Mod Clip CumSum Less LessOrEqual Greater GreaterOrEqual'],
  [bool, 'ReduceMax ReduceMin ReduceSum ReduceProd ArgMax ArgMin TopK'],
  [smallWhole, 'Neg Pow MatMul Trilu'],
  [integers, 'IsNaN IsInf'],
  [
    double,
    'Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Erf Softplus InstanceNormalization Conv ConvTranspose',
  ],
  [double, 'AveragePool GlobalAveragePool GlobalMaxPool Resize GridSample'],
]

const THROUGH = new Map(
  GROUPS.flatMap(([through, types]) => types.split(' ').map((type) => [type, through] as const)),
)

/** Node types whose result is bool whatever they are given. */
const TESTS = new Set(['Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual', 'Equal', 'IsNaN', 'IsInf'])

/** The dtype in which runtimes can compute a node of inputs of `dtype`; `undefined` if in that itself. */
export function carrierOf(type: string, dtype: DType): DType | undefined {
  return THROUGH.get(type)?.[dtype]
}

/** Whether an output of the inputs' dtype is theirs, and comes in the carrier's where they do. */
export function followsInputs(type: string): boolean {
  return !TESTS.has(type)
}
