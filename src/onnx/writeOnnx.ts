import { ConfigError, ShapeError } from '../engine/errors.ts'
import { cat, type DType, scope, Tensor, zeros } from '../engine/index.ts'
import { writeFileAtomic } from '../io/index.ts'
import { packageVersion } from '../packageFolder.ts'
import { Arguments } from './Arguments.ts'
import { trace, traceBatches } from './batches.ts'
import { exporters } from './exporters/index.ts'
import type { ExportOnnxOptions, OnnxModule } from './exportOnnx.ts'
import { GraphBuilder } from './GraphBuilder.ts'
import { encodeModel, type OnnxNode, type TensorBytes, type ValueInfo } from './proto.ts'
import { BatchDim, type Dim, type ForwardOutput, type Trace, type TracedValue } from './trace.ts'

/** Protocol buffers end here, and so does every reader of them. */
const MAX_BYTES = 2 ** 31 - 1

/** `exportOnnx`, whose options are known to be there. */
export async function writeOnnx(
  module: OnnxModule,
  path: string,
  options: ExportOnnxOptions,
): Promise<string> {
  const modes = module.modules().map((part) => [part, part.training] as const)
  module.eval()
  try {
    return await scope(async () => {
      // Where the model is, which the example need not be.
      const device = module.namedParameters()[0]?.[1].device
      const { example, inputsOf } = examples(options, device)
      const forward = (...inputs: Tensor[]) => module.forward(...(inputs as never)) as ForwardOutput
      const traced =
        (options.dynamicBatch ?? true) ? traceBatches(forward, inputsOf, example) : trace(forward, example())
      const graph = buildGraph(module, traced, options)
      const { pieces, byteLength } = encodeModel({
        graphName: module.constructor.name || 'model',
        producerVersion: packageVersion(),
        documentation: '',
        metadata: options.metadata ?? {},
        ...graph,
        initializers: await initializers(graph.initializers),
      })
      if (byteLength > MAX_BYTES) {
        throw new ConfigError(
          `${path}: the model takes ${byteLength} bytes as ONNX, and a file of that format can have ${MAX_BYTES} at most`,
        )
      }
      await writeFileAtomic(path, pieces)
      return path
    })
  } finally {
    for (const [part, training] of modes) part.training = training
  }
}

/** The example, and inputs as it has them with another batch. */
function examples(
  { inputShape, inputs }: ExportOnnxOptions,
  device: string | undefined,
): { example: () => Tensor[]; inputsOf: (batch: number) => Tensor[] } {
  if ((inputShape === undefined) === (inputs === undefined)) {
    throw new ConfigError(
      'exportOnnx needs to know what the model takes: either inputShape, as [1, 3, 224, 224], or inputs',
    )
  }
  if (inputShape !== undefined) {
    if (
      !(
        Array.isArray(inputShape) &&
        inputShape.length > 0 &&
        inputShape.every((size) => Number.isSafeInteger(size) && size > 0)
      )
    ) {
      throw new ShapeError(
        `exportOnnx: inputShape must be a list of positive whole numbers, the batch first, got ${JSON.stringify(inputShape)}`,
      )
    }
    const [batch, ...rest] = inputShape
    const blank = (count: number) => [zeros([count, ...rest], { device })]
    return { example: () => blank(batch!), inputsOf: blank }
  }
  if (
    !Array.isArray(inputs) ||
    inputs.length === 0 ||
    !inputs.every((input) => input instanceof Tensor && input.ndim > 0)
  ) {
    throw new ConfigError('exportOnnx: inputs must be a list of tensors, the batch first')
  }
  const here = inputs.map((input: Tensor) => (device === undefined ? input : input.to(device)))
  const repeated = (count: number) =>
    here.map((input) => {
      if (input.shape[0] === 0) throw new ShapeError('exportOnnx: the example inputs are empty')
      return cat(new Array<Tensor>(count).fill(input.slice(0, 0, 1)), 0)
    })
  return { example: () => here, inputsOf: repeated }
}

interface Graph {
  inputs: ValueInfo[]
  outputs: ValueInfo[]
  nodes: OnnxNode[]
  initializers: [name: string, value: TensorBytes | Tensor][]
}

function buildGraph(module: OnnxModule, traced: Trace, options: ExportOnnxOptions): Graph {
  const names = new Map<Tensor, string>()
  for (const [name, tensor] of [...module.namedParameters(), ...module.namedBuffers()])
    names.set(tensor, name)
  const inputNames = namesOf('input', traced.inputs.length, options.inputNames)
  const outputNames = namesOf('output', traced.outputs.length, options.outputNames)
  const both = inputNames.filter((name) => outputNames.includes(name))
  if (both.length > 0) {
    throw new ConfigError(
      `exportOnnx: inputs and outputs need different names, but both have ${both.join(', ')}; set inputNames or outputNames`,
    )
  }
  const builder = new GraphBuilder((tensor) => names.get(tensor), [...inputNames, ...outputNames])
  for (const [index, value] of traced.inputs.entries()) builder.input(value, inputNames[index]!)

  for (const step of traced.steps) {
    builder.op = step.op
    const made = [exporters[step.op]!(builder, new Arguments(builder, step))].flat()
    for (const [index, output] of step.outputs.entries()) builder.bind(output, made[index] ?? '')
  }
  for (const [index, value] of traced.outputs.entries()) {
    builder.nodes.push({
      type: 'Identity',
      name: outputNames[index]!,
      inputs: [builder.name(value)],
      outputs: [outputNames[index]!],
      attributes: {},
    })
  }
  const nodes = reachable(builder.nodes, outputNames)
  const read = new Set(nodes.flatMap((node) => node.inputs))
  return {
    inputs: traced.inputs.map((value, index) => describe(value, inputNames[index]!)),
    outputs: traced.outputs.map((value, index) => describe(value, outputNames[index]!)),
    nodes,
    initializers: [...builder.tensors, ...builder.constants].filter(([name]) => read.has(name)),
  }
}

function namesOf(stem: string, count: number, given: readonly string[] | undefined): readonly string[] {
  if (given === undefined)
    return count === 1 ? [stem] : Array.from({ length: count }, (_, i) => `${stem}_${i}`)
  if (given.length !== count || new Set(given).size !== count) {
    throw new ConfigError(
      `exportOnnx: the model has ${count} ${stem}${count === 1 ? '' : 's'}, but ${stem}Names are ${JSON.stringify(given)}`,
    )
  }
  return given
}

function describe({ dtype, shape }: TracedValue, name: string): ValueInfo {
  return { name, dtype, shape: shape.map((dim, index) => dimension(dim, `${name}_${index}`)) }
}

function dimension(dim: Dim, otherwise: string): number | string {
  if (!(dim instanceof BatchDim)) return dim
  return dim.known && dim.perItem === 1 && dim.constant === 0 ? 'batch' : otherwise
}

/** The nodes on which the outputs depend, in their order. */
function reachable(nodes: readonly OnnxNode[], outputs: readonly string[]): OnnxNode[] {
  const wanted = new Set(outputs)
  const kept: OnnxNode[] = []
  for (const node of [...nodes].reverse()) {
    if (!node.outputs.some((output) => wanted.has(output))) continue
    for (const input of node.inputs) wanted.add(input)
    kept.push(node)
  }
  return kept.reverse()
}

async function initializers(
  list: readonly [string, TensorBytes | Tensor][],
): Promise<(TensorBytes & { name: string })[]> {
  return Promise.all(
    list.map(async ([name, value]) => {
      if (!(value instanceof Tensor)) return { name, ...value }
      return { name, dtype: value.dtype as DType, shape: [...value.shape], data: await value.bytes() }
    }),
  )
}
