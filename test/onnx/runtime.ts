import { expect } from 'vitest'
import { type DType, manualSeed, noGrad, Tensor } from '../../src/engine/index.ts'
import { type ExportOnnxOptions, exportOnnx, type OnnxModule } from '../../src/onnx/index.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'

/** What these tests use of onnxruntime, which has one interface for Node and for browsers. */
interface RuntimeTensor {
  readonly type: string
  readonly data: ArrayLike<number | bigint>
  readonly dims: readonly number[]
}
interface Session {
  readonly inputNames: readonly string[]
  readonly outputNames: readonly string[]
  run(feeds: Record<string, RuntimeTensor>): Promise<Record<string, RuntimeTensor>>
}
interface Runtime {
  InferenceSession: { create(file: string | Uint8Array, options?: object): Promise<Session> }
  Tensor: new (type: string, data: unknown, dims: readonly number[]) => RuntimeTensor
  env: { wasm: { numThreads?: number } }
}

/**
 * onnxruntime, a runtime that nobody here wrote: its native library where someone has installed onnxruntime-node (which is
 * large, and downloads more at installation), else WebAssembly.
 */
const native = 'onnxruntime-node'
const runtime = (await import(native).catch(() => import('onnxruntime-web'))) as unknown as Runtime
runtime.env.wasm.numThreads = 1

/** Runs an exported model on tensors. */
export async function runOnnx(file: string, inputs: readonly Tensor[]): Promise<RuntimeTensor[]> {
  return run(await load(file), inputs)
}

function load(file: string): Promise<Session> {
  return runtime.InferenceSession.create(file, { logSeverityLevel: 3 })
}

async function run(session: Session, inputs: readonly Tensor[]): Promise<RuntimeTensor[]> {
  expect(session.inputNames).toHaveLength(inputs.length)
  const feeds: Record<string, RuntimeTensor> = {}
  for (const [index, name] of session.inputNames.entries()) feeds[name] = await toRuntime(inputs[index]!)
  const outputs = await session.run(feeds)
  return session.outputNames.map((name) => outputs[name]!)
}

async function toRuntime(tensor: Tensor): Promise<RuntimeTensor> {
  const values = Array.from(await tensor.data())
  const shape = [...tensor.shape]
  switch (tensor.dtype) {
    case 'int64':
      return new runtime.Tensor('int64', BigInt64Array.from(values, BigInt), shape)
    case 'int32':
      return new runtime.Tensor('int32', Int32Array.from(values), shape)
    case 'uint8':
      return new runtime.Tensor('uint8', Uint8Array.from(values), shape)
    case 'bool':
      return new runtime.Tensor('bool', Uint8Array.from(values), shape)
    case 'float64':
      return new runtime.Tensor('float64', Float64Array.from(values), shape)
    default:
      return new runtime.Tensor('float32', Float32Array.from(values), shape)
  }
}

/**
 * The greatest difference between what onnxruntime and what we compute, in parts of the greatest value (at least 1), for
 * `inputs`, with which the model is exported, and for `others`, with other batches.
 */
export async function differenceOf(
  module: OnnxModule,
  inputs: readonly Tensor[],
  options: ExportOnnxOptions = {},
  others: readonly (readonly Tensor[])[] = [],
): Promise<number> {
  const file = `${await temporaryFolder()}/model.onnx`
  await exportOnnx(module, file, options.inputShape ? options : { inputs, ...options })
  const session = await load(file)
  module.eval()
  let worst = 0
  for (const given of [inputs, ...others]) {
    const found = await run(session, given)
    const output = noGrad(() => module.forward(...(given as never))) as Tensor | Tensor[]
    worst = Math.max(worst, await greatest(found, output instanceof Tensor ? [output] : output))
  }
  return worst
}

async function greatest(found: readonly RuntimeTensor[], wanted: readonly Tensor[]): Promise<number> {
  expect(found.map(({ dims }) => [...dims])).toEqual(wanted.map(({ shape }) => [...shape]))
  expect(found.map(({ type }) => type)).toEqual(wanted.map(({ dtype }) => dtype))
  let worst = 0
  for (const [index, tensor] of wanted.entries()) {
    const ours = Array.from(await tensor.data())
    const theirs = Array.from(found[index]!.data, Number)
    const scale = Math.max(1, ...ours.map(Math.abs).filter(Number.isFinite))
    for (const [i, value] of ours.entries()) {
      if (Object.is(value, theirs[i]) || value === theirs[i]) continue
      const difference = Math.abs(value - theirs[i]!) / scale
      worst = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(worst, difference)
    }
  }
  return worst
}

export { type DType, manualSeed }
