import { ConfigError } from '../engine/errors.ts'
import { Tensor } from '../engine/index.ts'
import { Module } from '../nn/Module.ts'
import { Parameter } from '../nn/Parameter.ts'

/** A field of a layer or of the loss. */
interface Field {
  owner: object
  name: string
  /** What it holds. */
  value: unknown
  /** What it held within: see {@link itemsOf}. */
  items: readonly unknown[]
}

export function isSame(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((value, i) => Object.is(value, other[i]))
}

/** What a list holds, names and values of a plain object, the tensor itself; null for anything else. */
export function itemsOf(value: unknown): readonly unknown[] | null {
  if (value instanceof Tensor) return [value]
  if (Array.isArray(value)) return value
  return isPlain(value) ? Object.entries(value).flat() : null
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The fields of layers and losses as they are, without parameters and modules. */
export function fieldsOf(owners: readonly object[]): Field[] {
  const isOther = (value: unknown) => !(value instanceof Parameter || value instanceof Module)
  return owners.flatMap((owner) =>
    Object.entries(owner)
      .filter(([, value]) => isOther(value))
      .map(([name, value]) => ({ owner, name, value, items: [...(itemsOf(value) ?? [])] })),
  )
}

const tensorsIn = ({ items }: Field) => items.filter((item) => item instanceof Tensor)

/** Describes tensors in fields: who asks their shapes later does not go to the engine. */
export function describe(fields: readonly Field[]): void {
  for (const tensor of fields.flatMap(tensorsIn)) if (tensor.isAlive) void tensor.shape
}

/**
 * What a recorded pass has to do with the fields of layers and of the loss: tensors in them that it computes from, which must still
 * be there when it is repeated, and what it puts into them.
 */
export class CompiledFields {
  /** With the handles of the tensors, which are others where these have moved. */
  readonly #read: (Field & { handles: readonly number[] })[] = []
  readonly #written: Field[] = []

  /**
   * @param before the fields before the pass
   * @param used what it has used
   * @throws ConfigError for what a repetition does not do: to go on from a tensor that the last one has made, to change a list
   */
  constructor(before: readonly Field[], used: ReadonlySet<Tensor>) {
    const owners = [...new Set(before.map(({ owner }) => owner))]
    const find = (fields: readonly Field[]) => {
      const names = new Map(owners.map((owner) => [owner, new Map<string, Field>()]))
      for (const field of fields) names.get(field.owner)!.set(field.name, field)
      return (owner: object, name: string) => names.get(owner)!.get(name)
    }
    const after = fieldsOf(owners)
    const [old, now] = [find(before), find(after)]
    for (const field of before) {
      const tensors = tensorsIn(field)
      if (!tensors.some((tensor) => used.has(tensor))) continue
      const left = now(field.owner, field.name)
      if (left === undefined || !isSame(tensors, tensorsIn(left))) throw refuseCarrying(field)
      this.#read.push({ ...field, items: tensors, handles: tensors.map(({ handle }) => handle) })
    }
    for (const field of after) {
      const { owner, name, value, items } = field
      const earlier = old(owner, name)
      if (earlier === undefined || !Object.is(earlier.value, value)) {
        for (const tensor of tensorsIn(field)) tensor.keep()
        this.#written.push(field)
      } else if (!isSame(earlier.items, items)) throw refuseChanging(field)
    }
  }

  /** Whether the tensors that the pass computes from are those that the fields hold. */
  get areThere(): boolean {
    return this.#read.every(({ owner, name, value, items, handles }) => {
      const present = (owner as Record<string, unknown>)[name]
      if (value instanceof Tensor) return present === value && value.handle === handles[0]
      const tensors = (itemsOf(present) ?? []).filter((item) => item instanceof Tensor)
      return isSame(items, tensors) && tensors.every(({ handle }, i) => handle === handles[i])
    })
  }

  /** Puts into the fields what the pass has put there. */
  write(): void {
    for (const { owner, name, value } of this.#written) (owner as Record<string, unknown>)[name] = value
  }
}

function refuseCarrying({ owner, name }: Field): ConfigError {
  return new ConfigError(
    `compile: ${owner.constructor.name} computes from the tensor in its field '${name}' and puts another one there, which a ` +
      'recording does not repeat. Make it a buffer (registerBuffer) that is changed in place, as with copy_, or train ' +
      'without compile()',
  )
}

function refuseChanging({ owner, name }: Field): ConfigError {
  return new ConfigError(
    `compile: ${owner.constructor.name} changes what is in its field '${name}' while it computes, which a recording does not ` +
      'repeat. Put a new list or object there, or train without compile()',
  )
}
