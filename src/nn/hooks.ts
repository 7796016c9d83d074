import type { Module } from './Module.ts'

/** What registering a hook returns: `remove()` takes the hook away again. Works with `using` too. */
export interface HookHandle {
  remove(): void
  [Symbol.dispose](): void
}

// biome-ignore lint/suspicious/noConfusingVoidType: a hook may be declared to return nothing
type Nothing = undefined | void

/** Called after `forward` with its inputs and output; what it returns (if anything) replaces the output. */
export type ForwardHook<Inputs extends readonly unknown[] = readonly unknown[], Output = unknown> = (
  module: Module,
  inputs: Inputs,
  output: Output,
) => Output | Nothing

/** Called before `forward` with its inputs; what it returns (if anything) replaces them, all in one array. */
export type ForwardPreHook<Inputs extends readonly unknown[] = readonly unknown[]> = (
  module: Module,
  inputs: Inputs,
) => Inputs | Nothing

type Forward = (...inputs: readonly unknown[]) => unknown

interface Hooked {
  forward: Forward
}

interface HookSet {
  before: Set<{ hook: ForwardPreHook }>
  after: Set<{ hook: ForwardHook }>
  /** The own `forward` that the module had before (an arrow-function field); methods live on the prototype. */
  previous: PropertyDescriptor | undefined
  wrapper: Forward
}

const hookSets = new WeakMap<Module, HookSet>()

/**
 * Models call `layer.forward(x)` and not `layer(x)`, so hooks cannot live in a caller around `forward`. The first hook puts an
 * own `forward` in front of the class's; removing the last takes it away. A module without hooks pays nothing.
 */
function hooksOf(module: Module): HookSet {
  const known = hookSets.get(module)
  if (known) return known
  const target = module as unknown as Hooked
  const inner = target.forward
  const before = new Set<{ hook: ForwardPreHook }>()
  const after = new Set<{ hook: ForwardHook }>()
  const wrapper: Forward = (...inputs) => {
    let current: readonly unknown[] = inputs
    for (const { hook } of [...before]) current = hook(module, current) ?? current
    let output = inner.apply(module, [...current])
    for (const { hook } of [...after]) output = hook(module, current, output) ?? output
    return output
  }
  const hooks = { before, after, previous: Object.getOwnPropertyDescriptor(module, 'forward'), wrapper }
  Object.defineProperty(module, 'forward', {
    value: wrapper,
    configurable: true,
    writable: true,
    enumerable: false,
  })
  hookSets.set(module, hooks)
  return hooks
}

/** Whether a hook is registered on the module itself. */
export function hasHooks(module: Module): boolean {
  return hookSets.has(module)
}

function releaseWhenEmpty(module: Module, hooks: HookSet): void {
  if (hooks.before.size > 0 || hooks.after.size > 0 || hookSets.get(module) !== hooks) return
  hookSets.delete(module)
  if ((module as unknown as Hooked).forward !== hooks.wrapper) return // someone put their own over ours since
  if (hooks.previous) Object.defineProperty(module, 'forward', hooks.previous)
  else Reflect.deleteProperty(module, 'forward')
}

function register<Hook>(
  module: Module,
  hooks: HookSet,
  entries: Set<{ hook: Hook }>,
  hook: Hook,
): HookHandle {
  const entry = { hook }
  entries.add(entry)
  const remove = () => {
    if (entries.delete(entry)) releaseWhenEmpty(module, hooks)
  }
  return { remove, [Symbol.dispose]: remove }
}

/** Adds a hook that runs after `module.forward`. */
export function addForwardHook(module: Module, hook: ForwardHook): HookHandle {
  const hooks = hooksOf(module)
  return register(module, hooks, hooks.after, hook)
}

/** Adds a hook that runs before `module.forward`. */
export function addForwardPreHook(module: Module, hook: ForwardPreHook): HookHandle {
  const hooks = hooksOf(module)
  return register(module, hooks, hooks.before, hook)
}
