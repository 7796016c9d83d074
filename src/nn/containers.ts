import { ConfigError } from '../engine/errors.ts'
import type { Tensor } from '../engine/index.ts'
import { Module, uniqueByValue } from './Module.ts'
import { passThrough } from './passing.ts'

/** A module of whatever inputs and output. */
interface AnyModule {
  training: boolean
  forward(...inputs: never): unknown
}

// The names under which modules were put into a container, in that order. JavaScript lists an object's fields otherwise: '2'
// stands before 'body', whichever came first.
const orders = new WeakMap<Module, readonly string[]>()

const everything = { repeated: true } as const

/** Children under names, in order: what Sequential and ModuleList share. The names are fields, hence `list[0]`. */
function put(list: Module, module: Module, given?: string): void {
  const names = list.namedChildren(everything).map(([name]) => name)
  const name = given ?? String(names.length)
  if (!(module instanceof Module)) {
    throw new ConfigError(
      `${list.constructor.name}: entry ${name} is no Module but ${module === null ? 'null' : typeof module}`,
    )
  }
  if (name in list) throw new ConfigError(`${list.constructor.name}: the name '${name}' is taken`)
  orders.set(list, [...names, name])
  ;(list as unknown as Record<string, Module>)[name] = module
}

function modulesOf<Item = Module>(list: Module): Item[] {
  return list.namedChildren(everything).map(([, module]) => module) as unknown as Item[]
}

/** Children as JavaScript lists them, in the order in which they were put into the list; those assigned otherwise come last. */
function inOrder(list: Module, children: [string, Module][], repeated = false): [string, Module][] {
  sortByOrder(list, children)
  return repeated ? children : uniqueByValue(children)
}

function sortByOrder(list: Module, children: [string, Module][]): void {
  // Asked at every step, and nearly always in order: numbers alone, or none before other names.
  const { length } = children
  if (length < 2 || isIndex(children[length - 1]![0]) || !isIndex(children[0]![0])) return
  const names = orders.get(list) ?? []
  const place = ([name]: [string, Module]) => (names.includes(name) ? names.indexOf(name) : names.length)
  children.sort((a, b) => place(a) - place(b))
}

/** Whether JavaScript lists a field of this name before the others. Letter by letter: a regular expression costs a step more. */
function isIndex(name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (code < 48 || code > 57) return false // no digit
  }
  return name.length === 1 || (name.length > 1 && name[0] !== '0' && Number(name) < 2 ** 32 - 1)
}

/** A Sequential of modules under names, which may be numbers and others in any order. */
export function sequentialOf(entries: Iterable<readonly [string, Module]>): Sequential {
  const list = new Sequential()
  for (const [name, module] of entries) put(list, module, name)
  return list
}

/**
 * Modules in a row: the output of each is the input of the next. Reads like an array: `model[0]`, `model.at(-1)`,
 * `model.slice(0, 2)`, `for (const layer of model)`, `model.length`.
 *
 * @example new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU(), new nn.Linear(8, 2))
 * @example new nn.Sequential({ body, head })   // named
 */
export class Sequential extends Module {
  readonly [index: number]: Module

  constructor(...modules: Module[] | [Readonly<Record<string, Module>>]) {
    super()
    const [first] = modules
    if (modules.length === 1 && first !== null && typeof first === 'object' && !(first instanceof Module)) {
      const names = Object.keys(first)
      const number = names.find(isIndex)
      const other = names.find((name) => !isIndex(name))
      if (number !== undefined && other !== undefined) {
        throw new ConfigError(
          `${this.constructor.name}: the names are numbers ('${number}') and others ('${other}'), of which JavaScript lists the numbers first, however they were written: give names of one kind, or append the rest`,
        )
      }
      for (const [name, module] of Object.entries(first)) put(this, module, name)
    } else {
      this.append(...(modules as Module[]))
    }
  }

  get length(): number {
    return modulesOf(this).length
  }

  /** The module at `index`; negative counts from the end. */
  at(index: number): Module | undefined {
    return modulesOf(this).at(index)
  }

  /** A Sequential of the same modules (not copies) from `start` to before `end`, as for arrays. */
  slice(start?: number, end?: number): Sequential {
    return new Sequential(...[...this].slice(start, end))
  }

  /** Adds modules at the end. Returns this. */
  append(...modules: Module[]): this {
    for (const module of modules) put(this, module)
    return this
  }

  override namedChildren(options: { repeated?: boolean } = {}): [string, Module][] {
    return inOrder(this, super.namedChildren(everything), options.repeated)
  }

  [Symbol.iterator](): IterableIterator<Module> {
    return modulesOf(this).values()
  }

  override forward(x: Tensor): Tensor {
    return passThrough(this, x)
  }
}

/**
 * A list of modules that a module holds in a field, so that they are found, trained and saved; it computes nothing by itself.
 *
 * @example layers = new nn.ModuleList([new nn.Linear(4, 4), new nn.Linear(4, 4)])
 */
export class ModuleList<Item extends AnyModule = Module> extends Module<never[], never> {
  readonly [index: number]: Item

  constructor(modules: Iterable<Item> = []) {
    super()
    if (typeof modules?.[Symbol.iterator] !== 'function' || ArrayBuffer.isView(modules)) {
      throw new ConfigError('ModuleList: expected a list of modules')
    }
    this.append(...modules)
  }

  get length(): number {
    return modulesOf(this as unknown as Module).length
  }

  /** The module at `index`; negative counts from the end. */
  at(index: number): Item | undefined {
    return modulesOf<Item>(this as unknown as Module).at(index)
  }

  /** A ModuleList of the same modules (not copies) from `start` to before `end`, as for arrays. */
  slice(start?: number, end?: number): ModuleList<Item> {
    return new ModuleList([...this].slice(start, end))
  }

  /** Adds modules at the end. Returns this. */
  append(...modules: Item[]): this {
    for (const module of modules) put(this as unknown as Module, module as unknown as Module)
    return this
  }

  override namedChildren(options: { repeated?: boolean } = {}): [string, Module][] {
    return inOrder(this as unknown as Module, super.namedChildren(everything), options.repeated)
  }

  [Symbol.iterator](): IterableIterator<Item> {
    return modulesOf<Item>(this as unknown as Module).values()
  }
}
