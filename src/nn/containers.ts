import { ConfigError } from '../engine/errors.ts'
import type { Tensor } from '../engine/index.ts'
import { Module } from './Module.ts'
import { passThrough } from './passing.ts'

/** A module of whatever inputs and output. */
interface AnyModule {
  training: boolean
  forward(...inputs: never): unknown
}

/** Children under names, in order: what Sequential and ModuleList share. The names are fields, hence `list[0]`. */
function put(list: Module, name: string, module: Module): void {
  if (!(module instanceof Module)) {
    throw new ConfigError(
      `${list.constructor.name}: entry ${name} is no Module but ${module === null ? 'null' : typeof module}`,
    )
  }
  if (name in list) throw new ConfigError(`${list.constructor.name}: the name '${name}' is taken`)
  ;(list as unknown as Record<string, Module>)[name] = module
}

function modulesOf<Item = Module>(list: Module): Item[] {
  return list.namedChildren({ repeated: true }).map(([, module]) => module) as unknown as Item[]
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
      for (const [name, module] of Object.entries(first)) put(this, name, module)
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
    for (const module of modules) put(this, String(this.length), module)
    return this
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
    for (const module of modules)
      put(this as unknown as Module, String(this.length), module as unknown as Module)
    return this
  }

  [Symbol.iterator](): IterableIterator<Item> {
    return modulesOf<Item>(this as unknown as Module).values()
  }
}
