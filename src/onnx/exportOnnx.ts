import { ConfigError } from '../engine/errors.ts'
import type { Tensor } from '../engine/index.ts'
import type { Module } from '../nn/index.ts'

/** Options of {@link exportOnnx}. */
export interface ExportOnnxOptions {
  /** Shape of the model's input, the batch first: `[1, 3, 224, 224]`. Either this or `inputs`. */
  inputShape?: readonly number[]
  /** Example inputs, the batch first: for models that take several, or whole numbers. Their values do not matter. */
  inputs?: readonly Tensor[]
  /** Default `['input']`, or `input_0`, `input_1` … where there are several. */
  inputNames?: readonly string[]
  /** Default `['output']`, or `output_0` … */
  outputNames?: readonly string[]
  /**
   * The exported model takes batches of any size; otherwise of that of the example only. Default true: `forward` is run with
   * batches of 2, 3 and 5 (where that is cheap of 8, 17 and 65 too) instead of the example's, to find what depends on the size.
   * A batch of one is taken to be as these, also where `squeeze()` would drop it.
   */
  dynamicBatch?: boolean
  /** Text to store in the file. Default none. */
  metadata?: Readonly<Record<string, string>>
}

/** What can be exported: any module whose `forward` takes tensors and gives them, at once. */
export interface OnnxModule extends Pick<Module, 'namedParameters' | 'namedBuffers' | 'modules'> {
  eval(): unknown
  forward(...inputs: never): unknown
}

/**
 * Writes a model as ONNX (operator set 17), for onnxruntime and other programs that run it without this library. The graph is found
 * by running `forward` and noting its ops, in evaluation mode: models of one's own export like those that are shipped. What
 * depends on values (a branch, a loop) is exported as the example took it. Missing folders are made; the file appears whole or not
 * at all.
 *
 * Runtimes agree with the engine but for NaN in maxima, minima, signs and sorting, where each has its own way. What onnxruntime
 * has no kernels for (truth values in arithmetic, some functions and layers of float64) is computed in int32 and in float32.
 *
 * Source: https://github.com/onnx/onnx/blob/main/docs/Operators.md
 *
 * @returns the file
 * @throws ConfigError that names the ops for which ONNX has no form, or if the model computes differently for other sizes of its batch,
 *   does not take them, or has sizes that do not grow with it by the same number an item (chunks of it, pairs, halves)
 * @throws CheckpointError if the file cannot be written
 *
 * @example await exportOnnx(models.resnet18(), 'resnet18.onnx', { inputShape: [1, 3, 224, 224] })
 */
export async function exportOnnx(
  module: OnnxModule,
  path: string,
  options: ExportOnnxOptions = {},
): Promise<string> {
  if (typeof path !== 'string' || path === '') {
    throw new ConfigError(`exportOnnx takes the path of the file to write, got ${JSON.stringify(path)}`)
  }
  const known = ['inputShape', 'inputs', 'inputNames', 'outputNames', 'dynamicBatch', 'metadata']
  const unknown = Object.keys(options).filter((key) => !known.includes(key))
  if (unknown.length > 0) {
    throw new ConfigError(
      `exportOnnx: unknown option ${unknown.join(', ')}; the options are ${known.join(', ')}`,
    )
  }
  // What it takes is loaded where something is exported.
  const { writeOnnx } = await import('./writeOnnx.ts')
  return writeOnnx(module, path, options)
}
