import { requireOptions, show } from '../engine/check.ts'
import { CheckpointError } from '../engine/errors.ts'
import { noGrad, Tensor } from '../engine/index.ts'
import type { Module } from './Module.ts'
import { containsItself } from './repr.ts'

export interface LoadStateDictOptions {
  /** Names that are missing or unexpected are errors. Default true. */
  strict?: boolean
}

export interface LoadStateDictResult {
  /** Names that the module has and the state dict has not: these kept their values. */
  missingKeys: string[]
  /** Names that the state dict has and the module has not: these were left aside. */
  unexpectedKeys: string[]
}

interface Slot {
  tensor: Tensor
  optional: boolean
}

/** Everything that is saved of a module, in PyTorch's order: its parameters, its buffers, then module by module. */
function slotsOf(module: Module, prefix: string, ancestors: readonly Module[] = []): [string, Slot][] {
  if (ancestors.includes(module)) throw containsItself(module)
  const optional = module.optionalState()
  const own = [...module.ownParameters(), ...module.ownBuffers({ persistentOnly: true })]
  const slots = own.map(([name, tensor]): [string, Slot] => [
    prefix + name,
    { tensor, optional: optional.includes(name) },
  ])
  for (const [name, child] of module.namedChildren({ repeated: true })) {
    slots.push(...slotsOf(child, `${prefix}${name}.`, [...ancestors, module]))
  }
  return slots
}

/** Behind {@link Module.stateDict}. */
export function collectState(module: Module, prefix: string): Record<string, Tensor> {
  return Object.fromEntries(slotsOf(module, prefix).map(([name, { tensor }]) => [name, tensor.detach()]))
}

/** Behind {@link Module.loadStateDict}. */
export function loadState(
  module: Module,
  state: Readonly<Record<string, Tensor>>,
  options: LoadStateDictOptions,
): LoadStateDictResult {
  requireOptions('loadStateDict', options, ['strict'])
  if (state === null || typeof state !== 'object') {
    throw new CheckpointError(`a state dict is an object of tensors by name, got ${show(state)}`)
  }
  const { strict = true } = options
  const slots = new Map(slotsOf(module, ''))
  const missingKeys: string[] = []
  const unsuitable: string[] = []
  const copies: [Tensor, Tensor][] = []
  for (const [name, { tensor, optional }] of slots) {
    const value: unknown = Object.hasOwn(state, name) ? state[name] : undefined
    if (value === undefined) {
      if (!optional) missingKeys.push(name)
    } else if (!(value instanceof Tensor)) {
      unsuitable.push(`${name} is no tensor but ${value === null ? 'null' : typeof value}`)
    } else if (!sameShape(value.shape, tensor.shape)) {
      unsuitable.push(`${name} is [${value.shape.join(', ')}], the model has [${tensor.shape.join(', ')}]`)
    } else {
      copies.push([tensor, value])
    }
  }
  const unexpectedKeys = Object.keys(state).filter((name) => !slots.has(name))

  const problems: string[] = []
  if (strict && missingKeys.length > 0)
    problems.push(`missing (${missingKeys.length}): ${missingKeys.join(', ')}`)
  if (strict && unexpectedKeys.length > 0) {
    problems.push(`not in the model (${unexpectedKeys.length}): ${unexpectedKeys.join(', ')}`)
  }
  if (unsuitable.length > 0) problems.push(`unsuitable (${unsuitable.length}): ${unsuitable.join('; ')}`)
  if (problems.length > 0) {
    const advice =
      unsuitable.length > 0
        ? 'Leave the unsuitable entries out of the state dict and pass { strict: false } to load the rest.'
        : 'Pass { strict: false } to load what matches.'
    throw new CheckpointError(
      `cannot load the state dict into ${module.constructor.name}; nothing was changed.\n  ${problems.join('\n  ')}\n${advice}`,
    )
  }
  noGrad(() => {
    for (const [tensor, value] of copies) tensor.copy_(value)
  })
  return { missingKeys, unexpectedKeys }
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i])
}
