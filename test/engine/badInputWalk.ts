/**
 * Calls everything that the engine, nn and optim offer with values that make no sense, as plain JavaScript can. Prints one line of
 * JSON with what went wrong. Run in a process of its own by badInput.test.ts, so that a crash is a finding too: the call
 * that was under way is the last line of the file given as the first argument.
 */
import { openSync, writeSync } from 'node:fs'
import * as engine from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'
import * as optim from '../../src/optim/index.ts'
import { rightCalls } from './badInputCalls.ts'

const { AnnealError, Tensor, arange, ones, randn, scope, synchronize, tensor, zeros } = engine
type AnyFunction = (...given: unknown[]) => unknown

// A small generator of its own: the engine's is among what is tested.
let state = Number(process.argv[3] ?? 1)
function draw(limit: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return Math.floor((state / 2 ** 32) * limit)
}

function detached(): Float32Array {
  const array = new Float32Array(4)
  structuredClone(array.buffer, { transfer: [array.buffer] })
  return array
}

function disposed(): engine.Tensor {
  const x = ones([2, 3])
  x.dispose()
  return x
}

function freedByScope(): engine.Tensor {
  let held: engine.Tensor | undefined
  scope(() => {
    held = ones([2, 3])
  })
  return held as engine.Tensor
}

/** What no call expects, and what some do: an error often hides behind a first argument that is right. */
const values: [string, () => unknown][] = [
  ['undefined', () => undefined],
  ['null', () => null],
  ['NaN', () => Number.NaN],
  ['-1', () => -1],
  ['0', () => 0],
  ['1', () => 1],
  ['2', () => 2],
  ['1.5', () => 1.5],
  ['1e20', () => 1e20],
  ['-1e20', () => -1e20],
  ['2 ** 40', () => 2 ** 40],
  ['2 ** 52', () => 2 ** 52],
  ['Infinity', () => Number.POSITIVE_INFINITY],
  ['true', () => true],
  ["''", () => ''],
  ["'text'", () => 'text'],
  ["'1:'", () => '1:'],
  ['10n', () => 10n],
  ['Symbol()', () => Symbol('wrong')],
  ['{}', () => ({})],
  ['[]', () => []],
  ['[1]', () => [1]],
  ['[2, 3]', () => [2, 3]],
  ['[NaN]', () => [Number.NaN]],
  ['[-1]', () => [-1]],
  ['[-5, 2]', () => [-5, 2]],
  ['[1e20]', () => [1e20]],
  ['[1e9, 1e9]', () => [1e9, 1e9]],
  ['[2 ** 52, 2 ** 52]', () => [2 ** 52, 2 ** 52]],
  ['nine ones', () => new Array(9).fill(1)],
  ["['a']", () => ['a']],
  ['[null]', () => [null]],
  ['[[1], [2, 3]]', () => [[1], [2, 3]]],
  ['list without a prototype', () => Object.assign(Object.create(null), { length: 2 })],
  ['{ dtype: 1 }', () => ({ dtype: 1 })],
  ['{ reduction: {} }', () => ({ reduction: {} })],
  ['{ stride: -1 }', () => ({ stride: -1 })],
  ['{ weight: 3 }', () => ({ weight: 3 })],
  ['{ dim: NaN }', () => ({ dim: Number.NaN })],
  ['() => 1', () => () => 1],
  ['a date', () => new Date(0)],
  ['a map', () => new Map([[1, 2]])],
  ['a proxy', () => new Proxy({}, {})],
  ['detached array', detached],
  ['disposed tensor', disposed],
  ['[disposed tensor]', () => [disposed()]],
  ['tensor freed by its scope', freedByScope],
  ['float32 [2, 3]', () => randn([2, 3])],
  ['float64 [3]', () => randn([3], { dtype: 'float64' })],
  ['int64 [3]', () => arange(3)],
  ['int64 out of range', () => tensor([-7, 2 ** 40], { dtype: 'int64' })],
  ['bool [2, 3]', () => randn([2, 3]).gt(0)],
  ['empty', () => zeros([0, 3])],
  ['scalar', () => tensor(2)],
  ['[1, 2, 4, 4]', () => randn([1, 2, 4, 4])],
  ['[float32 [2, 3]]', () => [randn([2, 3])]],
  ['tracked', () => randn([2, 3], { requiresGrad: true })],
]

const receivers: [string, () => engine.Tensor][] = [
  ['float32 [2, 3]', () => randn([2, 3])],
  ['tracked', () => randn([2, 3], { requiresGrad: true }).mul(2)],
  ['int64 [3]', () => arange(3)],
  ['scalar', () => tensor(2)],
  ['empty', () => zeros([0, 3])],
  ['[1, 2, 4, 4]', () => randn([1, 2, 4, 4])],
  ['disposed', disposed],
]

/** Of the class's own machinery, not for users. */
const internals = new Set([
  'constructor',
  'liveHandle',
  'free',
  'dropSave',
  'moveTo',
  'clearGrad',
  'describe',
  'readPlan',
])
/** Change settings of the whole process, or are errors themselves. */
const leftOut = new Set(['setNumThreads', 'resetPeakMemory'])

const log = openSync(process.argv[2] as string, 'w')
const problems = new Map<string, string>()
let calls = 0

function check(label: string, error: unknown): void {
  const key = label.replace(/\(.*/s, '')
  if (!(error instanceof Error) || error.message === '') problems.set(label, `threw ${String(error)}`)
  else if (!(error instanceof AnnealError)) {
    const where = error.stack
      ?.split('\n')
      .find((line) => line.includes('/src/'))
      ?.trim()
      .replace(/\(.*\/src\//, '(src/')
    problems.set(
      `${key}: ${error.message.slice(0, 60)} ${where}`,
      `${label}: ${error.name}: ${error.message}`,
    )
  }
}

function attempt(label: string, run: () => unknown): void {
  calls++
  writeSync(log, `${label}\n`, 0)
  try {
    const result = scope(run)
    if (result instanceof Promise) result.catch((error) => check(label, error))
  } catch (error) {
    check(label, error)
  }
  if (calls % 50 === 0) stillWorks(label)
}

function stillWorks(label: string): void {
  try {
    synchronize()
  } catch (error) {
    check(`${label}, at the next wait`, error)
  }
  try {
    const x = tensor([1, 2, 3], { requiresGrad: true })
    const y = x.mul(x).sum()
    y.backward()
    if (y.item() !== 14 || String(x.grad?.toArray()) !== '2,4,6') problems.set(label, 'arithmetic is broken')
  } catch (error) {
    problems.set(label, `the engine is unusable: ${String(error)}`)
  }
}

function argumentLists(rounds: number): [string, unknown[]][] {
  const lists: [string, unknown[]][] = [['', []]]
  for (const [name, make] of values) lists.push([name, [make()]])
  for (let i = 0; i < rounds; i++) {
    const chosen = Array.from(
      { length: 2 + draw(3) },
      () => values[draw(values.length)] as (typeof values)[number],
    )
    lists.push([chosen.map(([name]) => name).join(', '), chosen.map(([, make]) => make())])
  }
  return lists
}

function walkMethods(): void {
  for (const name of Object.getOwnPropertyNames(Tensor.prototype)) {
    if (internals.has(name)) continue
    const property = Object.getOwnPropertyDescriptor(Tensor.prototype, name)
    for (const [kind, make] of receivers) {
      if (typeof property?.value === 'function') {
        for (const [given, list] of argumentLists(20)) {
          attempt(`${name}(${given}) of ${kind}`, () => (property.value as AnyFunction).apply(make(), list))
        }
      } else if (property?.set && name !== 'gradFn') {
        for (const [given, value] of values) {
          attempt(`${name} = (${given}) of ${kind}`, () => property.set?.call(make(), value()))
        }
      }
    }
  }
}

function isClass(value: AnyFunction): boolean {
  return /^class\b/.test(Function.prototype.toString.call(value))
}

function walkExports(title: string, module: object): void {
  for (const [name, value] of Object.entries(module)) {
    if (leftOut.has(name) || name.endsWith('Error') || name === 'Tensor') continue
    if (typeof value === 'object' && name === 'init') walkExports('init', value)
    if (typeof value !== 'function') continue
    for (const [given, list] of argumentLists(isClass(value as AnyFunction) ? 40 : 120)) {
      const label = `${title}.${name}(${given})`
      if (!isClass(value as AnyFunction)) {
        attempt(label, () => (value as AnyFunction)(...list))
        continue
      }
      attempt(label, () => {
        const made = new (value as new (...all: unknown[]) => { forward?: AnyFunction })(...list)
        const [first, ...rest] = argumentLists(2).slice(-2) as [[string, unknown[]], [string, unknown[]]]
        for (const [, args] of [first, ...rest])
          if (made instanceof nn.Module) made.forward(...(args as never[]))
      })
    }
  }
}

// Each argument of a right call replaced by each value, then each field of its options; first of all the call as it is.
function walkRightCalls(): void {
  for (const { name, run, given } of rightCalls) {
    const spoilt = (label: string, change: (list: unknown[]) => void) =>
      attempt(`${name}(${label})`, () => {
        const list = given()
        change(list)
        const result = run(...(list as never[]))
        if (result instanceof Tensor && result.requiresGrad && result.numel < 1e6) result.sum().backward()
        return result
      })
    try {
      run(...(given() as never[]))
    } catch (error) {
      problems.set(name, `is not right: ${error}`)
    }
    given().forEach((right, i) => {
      for (const [value, make] of values) {
        spoilt(`${value} for argument ${i}`, (list) => {
          list[i] = make()
        })
        if (right === null || Object.getPrototypeOf(right) !== Object.prototype) continue
        for (const key of Object.keys(right as object)) {
          spoilt(`${value} for ${key}`, (list) => {
            list[i] = { ...(list[i] as object), [key]: make() }
          })
        }
      }
    })
  }
}

walkRightCalls()
walkMethods()
walkExports('anneal', engine)
walkExports('F', F)
walkExports('nn', nn)
walkExports('optim', optim)
await new Promise((resolve) => setImmediate(resolve))
stillWorks('the end')
process.stdout.write(
  `${JSON.stringify({ calls, problems: [...problems].map(([key, text]) => `${key} | ${text}`) })}\n`,
)
