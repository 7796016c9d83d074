/** Values for calls that make no sense, or that turn on whoever reads them. Every one is drawn from the call's own random numbers. */
import * as engine from '../../src/engine/index.ts'
import type { RandomNumbers } from './random.ts'

/** A value and how it is told. */
export interface Given {
  text: string
  value: unknown
}

/** Thrown by what is passed in: whoever calls it may let it through. */
export class Hostile extends Error {}

export type Make = (draw: Draw) => Given
export const is = (text: string, value: unknown): Given => ({ text, value })

/** What one call is made of. */
export class Draw {
  readonly random: RandomNumbers
  /** Tensors that the call was given: functions and getters dispose of them, go backward through them … */
  readonly tensors: engine.Tensor[] = []
  /** Lists that it was given: they change while they are read. */
  readonly lists: unknown[][] = []
  /** How deep in calls that its own values make. */
  depth = 0
  /** Another call, for functions that call the library themselves. */
  callAgain: () => unknown = () => undefined

  constructor(random: RandomNumbers) {
    this.random = random
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit)
  }
  chance(probability: number): boolean {
    return this.random() < probability
  }
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }
}

// --- numbers, lists of them, strings

const absurd = [-1, 2 ** 31, 2 ** 32 + 1, 2 ** 40, 2 ** 52, 2 ** 53, 1e20, 1e308, -1e20, -(2 ** 31)]
const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0.5, -0, 1.5, -0.1, 1e-300]

export function number(draw: Draw): Given {
  const kind = draw.random()
  const value = kind < 0.75 ? draw.below(7) - 1 : draw.of(kind < 0.88 ? absurd : odd)
  return is(Object.is(value, -0) ? '-0' : String(value), value)
}

export function list(draw: Draw): Given {
  const values = Array.from({ length: draw.below(draw.chance(0.05) ? 12 : 5) }, () => number(draw))
  draw.lists.push(values.map(({ value }) => value))
  return is(`[${values.map(({ text }) => text).join(', ')}]`, draw.lists.at(-1))
}

const strings = [
  '',
  'a',
  'text',
  ':',
  '1:',
  '::-1',
  '...',
  'mean',
  'sum',
  'none',
  'bilinear',
  'nearest',
  'zeros',
  'reflect',
  'constant',
  'accuracy',
  'valid_loss',
  'loss',
  'max',
  'min',
  'bfloat16',
  'float32',
  'ij,jk->ik',
  'ii->i',
  '->',
  'weight',
  '__proto__',
  'constructor',
  'toString',
  'model.pth',
  'model.safetensors',
  'table.csv',
  'x.png',
  '\0',
  '\ud800',
  '🦊',
  'x'.repeat(5000),
]
export const string: Make = (draw) => {
  const value = draw.of(strings)
  return is(JSON.stringify(value.slice(0, 20)), value)
}

export const dtype: Make = (draw) => {
  const value = draw.of([...engine.dtypes, ...engine.dtypes, 'float', 'int16', '__proto__', ''])
  return is(`'${value}'`, value)
}

export const device: Make = (draw) => {
  const value = draw.of(['cpu', 'cpu', 'cpu', 'auto', 'cuda', 'cuda:999', 'cuda:-1', 'gpu', '', 'cpu:0'])
  return is(`'${value}'`, value)
}
