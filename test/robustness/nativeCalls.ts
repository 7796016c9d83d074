/** Calls of the add-on itself, past all checks of TypeScript: its functions with anything, and the op table with arguments of its kinds. */
import { readFileSync } from 'node:fs'
import { type Addon, addon, release, toAnnealError } from '../../src/engine/addon.ts'
import { AnnealError } from '../../src/engine/errors.ts'
import type { Target } from './callTargets.ts'
import { type Draw, type Given, number } from './draw.ts'
import { any } from './hostileValues.ts'

const sizes = [4, 8, 2, 2, 8, 4, 1, 1] // bytes by number of dtype
const dtypeNames = ['float32', 'float64', 'bfloat16', 'float16', 'int64', 'int32', 'uint8', 'bool']
const shapes = [
  [],
  [0],
  [1],
  [3],
  [2, 3],
  [3, 2],
  [3, 3],
  [0, 3],
  [2, 3, 4],
  [1, 3, 6, 6],
  [2, 4, 5, 5],
  [4, 4, 3, 3],
  [1, 1, 1, 1, 1, 1, 2, 2],
]
const values = [0, 1, 2, -1, 3, 0.5, 7, 100, -5]
const special = [1e30, -1e30, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, -(2 ** 40), 2 ** 62]

/** Tensors of the engine that nobody else knows, freed when the call is over. */
class Handles {
  readonly all: number[] = []

  tensor(draw: Draw, shape: readonly number[], dtype: number): number {
    const count = shape.reduce((product, side) => product * side, 1)
    const wild = draw.chance(0.1)
    const numbers = Array.from({ length: count }, () => draw.of(wild ? special : values))
    shape.forEach((side, i) => {
      addon.args[i] = side
    })
    const flat = addon.fromBytes(encode(numbers, dtype), dtype, shape.length)
    this.all.push(flat)
    if (!draw.chance(0.25) || shape.length < 2) return flat
    // Not in the order of the indices.
    const order = shape.map((_, i) => i).reverse()
    return (
      this.run('permute', [
        { kind: 'tensor', values: [flat] },
        { kind: 'numbers', values: order },
      ]) ?? flat
    )
  }

  /** The first result; undefined for a failure. */
  run(op: string, given: readonly Argument[]): number | undefined {
    write(given)
    const count = addon.call(addon.opNames.indexOf(op), given.length)
    for (let i = 0; i < count; i++) this.all.push(addon.results[i] as number)
    return count > 0 ? addon.results[0] : undefined
  }

  free(): void {
    for (const handle of this.all) release(handle)
    this.all.length = 0
  }
}

function encode(numbers: readonly number[], dtype: number): ArrayBufferView {
  const whole = numbers.map((value) => Math.trunc(Number.isFinite(value) ? value : 0))
  if (dtype === 0) return Float32Array.from(numbers)
  if (dtype === 1) return Float64Array.from(numbers)
  if (dtype === 4) return BigInt64Array.from(whole, (value) => BigInt.asIntN(64, BigInt(value)))
  if (dtype === 5) return Int32Array.from(whole)
  if (dtype === 7) return Uint8Array.from(whole, (value) => (value === 0 ? 0 : 1))
  return sizes[dtype] === 1
    ? Uint8Array.from(whole)
    : Uint16Array.from(whole, (value) => 0x3c00 + value * 0x80)
}

const kinds = { number: 1, tensor: 2, none: 3, numbers: 4, tensors: 5, bool: 6 } as const
interface Argument {
  kind: keyof typeof kinds
  values: readonly number[]
  /** What a list says of its length, if it lies. */
  length?: number
}

function write(given: readonly Argument[]): void {
  let at = 0
  for (const { kind, values: list, length } of given) {
    addon.kinds[at] = kinds[kind]
    if (kind === 'numbers' || kind === 'tensors') addon.args[at++] = length ?? list.length
    for (const value of list) addon.args[at++] = value
    if (kind === 'none') at++
  }
}

/** The op table, which callsRun.ts has put here: `OP(name, Result(Context&, const Tensor& input, int64_t dim))`, `UNARY(name)` and `BINARY(name)` as lists of parameters. */
function readOps(): Map<string, string[]> {
  const text = readFileSync('ops.def', 'utf8')
  const found = new Map<string, string[]>()
  for (const [, kind, name, rest] of text.matchAll(/^(OP|UNARY|BINARY)\((\w+)(?:, (.*))?\)$/gm)) {
    if (kind === 'OP')
      found.set(
        name as string,
        /\(Context&,? ?(.*)\)$/.exec(rest as string)?.[1]?.split(/, (?=[a-zA-Z:]+[<&\s])/) ?? [],
      )
    else
      found.set(
        name as string,
        kind === 'UNARY' ? ['const Tensor& input'] : ['const Operand& a', 'const Operand& b'],
      )
  }
  return found
}

const lies = [-1, 5, 9, 1e6, 40_000, 2 ** 31, 2 ** 32 + 1, 1e20, Number.NaN, 0.5, Number.NEGATIVE_INFINITY]
const strangeHandles = [0, -1, 0.5, Number.NaN, 1e9, 2 ** 30, 2 ** 40, 3 * 2 ** 28, Number.POSITIVE_INFINITY]

function opTarget(op: string, parameters: readonly string[]): Target {
  return {
    name: `native ${op}`,
    prepare(draw) {
      const base = draw.of(shapes)
      const baseDtype = draw.chance(0.7) ? 0 : draw.below(8)
      const told: string[] = []
      // Only drawn here: tensors are made when it is run.
      const plan = parameters.map((parameter): ((handles: Handles) => Argument) => {
        const tensor = () => {
          if (draw.chance(0.02)) {
            const handle = draw.of(strangeHandles)
            told.push(`handle ${handle}`)
            return () => handle
          }
          const wanted = /(indices|target)$/i.test(parameter) && draw.chance(0.5) ? 4 : baseDtype
          const dtype = draw.chance(0.85) ? wanted : draw.below(8)
          const flat = /mean|weight|bias|deviation|variance|mask/i.test(parameter) && draw.chance(0.6)
          const shape = flat
            ? [base[base.length === 4 ? 1 : base.length - 1] ?? 1]
            : draw.chance(0.7)
              ? base
              : draw.of(shapes)
          told.push(`${dtypeNames[dtype]}[${shape}]`)
          return (handles: Handles) => handles.tensor(draw, shape, dtype)
        }
        const plain = () => {
          const { text, value } = number(draw)
          told.push(text)
          return value as number
        }
        const many = () => Array.from({ length: draw.below(5) }, plain)
        const lie = () => (draw.chance(0.03) ? { length: draw.of(lies) } : {})
        const wrong = draw.chance(0.03)
        const type = wrong ? draw.of(['Tensor', 'double', 'bool', 'Dims', 'TensorList', 'none']) : parameter
        if (/optional/.test(type) && draw.chance(0.4)) return () => ({ kind: 'none', values: [] })
        if (/TensorList/.test(type)) {
          const list = Array.from({ length: draw.below(4) }, tensor)
          const length = lie()
          return (handles) => ({ kind: 'tensors', values: list.map((make) => make(handles)), ...length })
        }
        if (/Dims|vector/.test(type)) {
          const list = draw.chance(0.3) ? [...base] : many()
          const length = lie()
          told.push(`[${list}]${'length' in length ? ` that says ${length.length}` : ''}`)
          return () => ({ kind: 'numbers', values: list, ...length })
        }
        if (/Operand/.test(type) ? draw.chance(0.7) : /Tensor/.test(type)) {
          const make = tensor()
          return (handles) => ({ kind: 'tensor', values: [make(handles)] })
        }
        if (/bool/.test(type)) {
          const value = draw.below(2)
          told.push(value === 1 ? 'true' : 'false')
          return () => ({ kind: 'bool', values: [value] })
        }
        if (type === 'none') return () => ({ kind: 'none', values: [] })
        const value = /DType/.test(type) ? draw.below(9) : plain()
        return () => ({ kind: 'number', values: [value] })
      })
      const count = draw.chance(0.03) ? draw.of([0, 1, 30, 1e6, -1, 2 ** 31 - 1]) : plan.length
      const device = draw.chance(0.03) ? draw.of([1, 2, 7, 8, 200, 32767]) : 0
      return {
        text: `native ${op}(${told.join(', ')})${count === plan.length ? '' : ` said to be ${count}`}${device > 0 ? ` on device ${device}` : ''}`,
        run() {
          const handles = new Handles()
          try {
            const given = plan.map((make) => make(handles))
            write(given)
            const results = addon.call(addon.opNames.indexOf(op) | (device << 16), count)
            for (let i = 0; i < results; i++) handles.all.push(addon.results[i] as number)
            const read = results > 0 && draw.chance(0.1) ? describe(handles.all.at(-1) as number) : undefined
            if (results < 0) {
              const { kind, message } = addon.takeError()
              throw toAnnealError(kind, message)
            }
            return read
          } finally {
            handles.free()
          }
        },
      }
    },
  }
}

function describe(handle: number): number[] {
  addon.describe(handle)
  return [...addon.results.subarray(0, 30)]
}

/** What a function of the add-on is given where it is to get past the first check. */
const right: Partial<Record<keyof Addon, (draw: Draw, handles: Handles) => unknown[]>> = {
  describe: (draw, handles) => [handles.tensor(draw, [2, 3], 0)],
  sharesStorage: (draw, handles) => [handles.tensor(draw, [2, 3], 0)],
  canStandFor: (draw, handles) => [handles.tensor(draw, [2, 3], 0), handles.tensor(draw, [3, 2], 0)],
  fromBytes: (draw) => {
    addon.args.set([2, 3])
    return [new Float32Array(draw.of([6, 6, 5])), draw.of([0, 0, 4, 8, -1]), draw.of([2, 2, 1, 9, 1e9])]
  },
  readSync: (draw, handles) => [handles.tensor(draw, [2, 3], 0), new Float32Array(draw.of([6, 6, 7]))],
  readAsync: (draw, handles) => [
    handles.tensor(draw, [2, 3], 0),
    new Float32Array(6),
    draw.chance(0.5),
    () => undefined,
  ],
  memoryStats: (draw) => [draw.of([0, 0, 1, 8, -1, 1e9])],
  resetPeak: (draw) => [draw.of([0, 1, 8, -1])],
  openDevice: (draw) => [draw.of([0, 1, 2, 8, -1, 1e9])],
  manualSeed: (draw) => [draw.of([0n, -1n, 2n ** 64n])],
  setGeneratorState: (draw) => [
    draw.of([addon.generatorState(), new Uint8Array(5), addon.generatorState().fill(255)]),
  ],
  setThreads: (draw) => [draw.of([1, 2, 3, 0, -1, 1e9, 2 ** 31])],
  replay: (draw) => [draw.of([0, 1, 2, -1, 1e9])],
  isCaptured: (draw) => [draw.of([0, 1, 2, -1, 1e9])],
  dropRecording: (draw) => [draw.of([0, 1, 2, -1, 1e9])],
  pictureSize: (draw) => [
    draw.of(['model.pth', '', '.', new Uint8Array(9)]),
    () => undefined,
    draw.below(3),
    draw.below(3),
  ],
  decodePicture: (draw) => [
    draw.of(['model.pth', new Uint8Array(9)]),
    plan(draw),
    new Uint8Array(6),
    () => undefined,
    1,
    1,
  ],
  resamplePicture: (draw) => [
    new Uint8Array(draw.of([36, 36, 35])),
    plan(draw),
    new Uint8Array(draw.of([6, 36, 12])),
    draw.of([undefined, () => undefined]),
  ],
  warpPicture: (draw) => [
    new Uint8Array(36),
    Float64Array.from(
      { length: draw.of([16, 16, 15]) },
      (_, i) =>
        [0, 0, 0, 4, 3, 4, 3, 1, 0, 0, 0, 1, 0, 0, 0, 1][i]! + (draw.chance(0.05) ? draw.of(special) : 0),
    ),
    draw.chance(0.5),
    draw.of([2, 2, 0, -1, 2 ** 32, Number.NaN]),
    draw.of([1, 1, 3, 2 ** 40]),
    new Uint8Array(6),
    draw.of([undefined, () => undefined]),
  ],
}

function plan(draw: Draw): Float64Array {
  const slots = [4, 3, 0, 0, 4, 3, 2, 1, 0, 0, 2, 1, 0, 0]
  if (draw.chance(0.4))
    slots[draw.below(slots.length)] = draw.of([...special, 0, 5, -1, 0.5, 1e-300, 2 ** 22])
  return Float64Array.from(draw.chance(0.05) ? slots.slice(1) : slots)
}

// Of the fuzzer's own handles: who frees another's has no business with the engine any more.
const ownHandles = new Set(['flushReleased', 'call'])

function functionTarget(name: keyof Addon & string): Target {
  return {
    name: `addon.${name}`,
    prepare(draw) {
      const handles = new Handles()
      const list = right[name]?.(draw, handles) ?? []
      const told: string[] = list.length > 0 ? ['right'] : []
      if (ownHandles.has(name)) {
        const first =
          name === 'call' ? draw.of([-1, 1e6, 65535, 2 ** 31, undefined]) : draw.of([1, 2, 3, -1, 1e9])
        told.push(String(first))
        if (name === 'call') list.push(first, 0)
        else addon.released.set([first as number, draw.of(strangeHandles), ...strangeHandles])
      } else if (draw.chance(0.6)) {
        const at = draw.below(Math.max(list.length, 1) + 1)
        const { text, value }: Given = any(draw)
        list[at] = value
        told.push(`${text} for argument ${at}`)
      }
      return {
        text: `addon.${name}(${told.join(', ')})`,
        run() {
          try {
            return (addon[name] as (...given: unknown[]) => unknown)(...list)
          } catch (error) {
            // The engine's own, and what Node-API says of a value of a wrong type: only the library's code calls this.
            if (error instanceof Error) throw new AnnealError(error.message)
            throw error
          } finally {
            handles.free()
            try {
              addon.dropRecording(addon.endRecording())
            } catch {
              // none was being made
            }
          }
        },
      }
    },
  }
}

const functions = Object.keys(addon).filter(
  (name) => typeof addon[name as keyof Addon] === 'function',
) as (keyof Addon & string)[]

export const nativeTargets: readonly Target[] = [
  ...[...readOps()].map(([op, parameters]) => opTarget(op, parameters)),
  ...functions.map(functionTarget),
  ...functions.map(functionTarget),
  {
    name: 'native recording',
    prepare(draw) {
      const ops = [...readOps()].filter(([op]) => op !== 'nonzero')
      const steps = Array.from({ length: 1 + draw.below(4) }, () => {
        const [op, parameters] = draw.of(ops)
        return opTarget(op, parameters).prepare(draw)
      })
      const times = draw.below(4)
      return {
        text: `a recording of ${steps.map(({ text }) => text).join('; ')}, ${times} times`,
        run() {
          addon.beginRecording()
          for (const { run } of steps) {
            try {
              run()
            } catch (error) {
              if (!(error instanceof AnnealError)) throw error
            }
          }
          const recording = addon.endRecording()
          for (let i = 0; i < times; i++) addon.replay(recording)
          addon.dropRecording(recording)
        },
      }
    },
  },
]
