import { inspect } from 'node:util'
import { requireOptions, show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'
import { type DType, noGrad, Tensor, zeros } from '../engine/index.ts'
import type { HookHandle } from './hooks.ts'
import type { Module } from './Module.ts'

export interface SummaryOptions {
  /** Dtype of the zeros that are passed through. Default float32; 'int64' for models that begin with an embedding. */
  dtype?: DType
}

/** What {@link Module.summary} passes through: zeros of a shape or of several shapes, one for each input; or the inputs themselves. */
export type SummaryInput = readonly number[] | readonly (readonly number[])[] | Tensor | readonly Tensor[]

/** One line of a {@link ModuleSummary}: a layer, or a module with parameters of its own. */
export interface SummaryRow {
  /** Dotted name; '' for the model itself. */
  name: string
  /** Class of the module. */
  type: string
  /** Shapes of the output of its first call, none when the pass did not reach it. */
  outputShapes: number[][]
  /** Parameters that it owns directly. */
  parameters: number
  /** Those of them that require a gradient. */
  trainable: number
}

/** What {@link Module.summary} returns. Prints as a table. */
export class ModuleSummary {
  readonly title: string
  readonly rows: readonly SummaryRow[]
  /** Number of parameters, shared ones counted once. */
  readonly parameters: number
  /** Number of parameters that require a gradient. */
  readonly trainable: number

  constructor(title: string, rows: readonly SummaryRow[], parameters: number, trainable: number) {
    this.title = title
    this.rows = rows
    this.parameters = parameters
    this.trainable = trainable
  }

  toString(): string {
    const cells = this.rows.map((row) => [
      row.name === '' ? row.type : `${row.name} (${row.type})`,
      row.outputShapes.map(shapeText).join(' ') || 'not reached',
      row.parameters.toLocaleString('en-US'),
      row.parameters === 0
        ? ''
        : row.trainable === row.parameters
          ? 'yes'
          : row.trainable === 0
            ? 'no'
            : 'partly',
    ])
    const header = ['layer', 'output shape', 'parameters', 'trainable']
    const widths = header.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)))
    const line = (row: string[]) =>
      row
        .map((cell, i) => (i === 2 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join('  ')
        .trimEnd()
    const rule = '-'.repeat(widths.reduce((sum, width) => sum + width + 2, -2))
    const count = (value: number) => value.toLocaleString('en-US')
    return [
      this.title,
      rule,
      line(header),
      rule,
      ...cells.map(line),
      rule,
      `${count(this.parameters)} parameters, ${count(this.trainable)} trainable, ${count(this.parameters - this.trainable)} frozen`,
    ].join('\n')
  }

  [inspect.custom](): string {
    return this.toString()
  }
}

const shapeText = (shape: readonly number[]) => `[${shape.join(', ')}]`

function outputShapes(output: unknown): number[][] {
  if (output instanceof Tensor) return [[...output.shape]]
  if (Array.isArray(output)) return output.flatMap(outputShapes)
  if (output !== null && typeof output === 'object') return Object.values(output).flatMap(outputShapes)
  return []
}

/** 'input [1, 3, 32, 32]', 'inputs [1, 4] int64, [1, 2] float32': dtypes where they differ. */
function describeInputs(inputs: readonly Tensor[]): string {
  const differ = inputs.some(({ dtype }) => dtype !== inputs[0]!.dtype)
  const list = inputs.map(({ shape, dtype }) => shapeText(shape) + (differ ? ` ${dtype}` : ''))
  return `${list.length > 1 ? 'inputs' : 'input'} ${list.join(', ')}`
}

const countOf = (tensors: readonly Tensor[]) =>
  tensors.reduce((sum, tensor) => sum + tensor.shape.reduce((a, b) => a * b, 1), 0)

/** Inputs that were given, or zeros of the shapes, on the model's device. */
function inputsOf(model: Module, input: SummaryInput, { dtype }: SummaryOptions): Tensor[] {
  const device = model.parameters()[0]?.device
  const list = input instanceof Tensor ? [input] : input
  if (!Array.isArray(list) || list.length === 0) {
    throw new ConfigError(
      `summary: expected the shape of the input, as [1, 3, 224, 224], or the inputs as tensors, got ${show(input)}`,
    )
  }
  const given = list.filter((each) => each instanceof Tensor)
  if (given.length === list.length) {
    if (dtype !== undefined) {
      throw new ConfigError(
        `summary: dtype '${String(dtype)}' is for shapes; tensors have a dtype of their own`,
      )
    }
    return given.map((tensor) => (device === undefined ? tensor : tensor.to(device)))
  }
  const shapes: readonly unknown[] = typeof list[0] === 'number' ? [list] : list
  return shapes.map((shape) => {
    if (!Array.isArray(shape)) {
      throw new ConfigError(
        `summary: the inputs are all shapes, which are lists of sizes, or all tensors; got ${show(shape)} among them`,
      )
    }
    return zeros([...shape], { dtype: dtype ?? 'float32', ...(device !== undefined && { device }) })
  })
}

/** Behind {@link Module.summary}. */
export function summarize(model: Module, input: SummaryInput, options: SummaryOptions): ModuleSummary {
  requireOptions('summary', options, ['dtype'])
  const inputs = noGrad(() => inputsOf(model, input, options))
  const named = model.namedModules()
  const shapesOf = new Map<Module, number[][]>()
  const modes = named.map(([, module]) => module.training)
  const hooks: HookHandle[] = []
  try {
    for (const [, module] of named) {
      hooks.push(
        module.registerForwardHook((self, _inputs, output) => {
          if (!shapesOf.has(self)) shapesOf.set(self, outputShapes(output))
        }),
      )
    }
    model.eval()
    noGrad(() => (model as unknown as Module<Tensor[], unknown>).forward(...inputs))
  } finally {
    for (const hook of hooks) hook.remove()
    named.forEach(([, module], i) => {
      module.training = modes[i]!
    })
  }
  const seen = new Set<Tensor>()
  const rows: SummaryRow[] = []
  for (const [name, module] of named) {
    const own = module
      .ownParameters()
      .map(([, parameter]) => parameter)
      .filter((parameter) => !seen.has(parameter) && seen.add(parameter))
    const isEmptyList = Symbol.iterator in module && !shapesOf.has(module)
    if (own.length === 0 && (module.children().length > 0 || isEmptyList)) continue
    const trainable = own.filter((parameter) => parameter.requiresGrad)
    rows.push({
      name,
      type: module.constructor.name,
      outputShapes: shapesOf.get(module) ?? [],
      parameters: countOf(own),
      trainable: countOf(trainable),
    })
  }
  const all = model.parameters()
  return new ModuleSummary(
    `${model.constructor.name}, ${describeInputs(inputs)}`,
    rows,
    countOf(all),
    countOf(all.filter((parameter) => parameter.requiresGrad)),
  )
}
