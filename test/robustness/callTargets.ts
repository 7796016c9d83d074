/** Everything that the library lets be called: exports, classes, methods, accessors; with what each parameter is named. */
import * as callbacks from '../../callbacks/index.ts'
import * as anneal from '../../src/index.ts'
import { rightCalls } from '../engine/badInputCalls.ts'
import { instances } from './callInstances.ts'
import { type Draw, type Given, list, number, string } from './draw.ts'
import { tensor } from './hostileTensors.ts'
import { any, named, options } from './hostileValues.ts'
import { nativeTargets } from './nativeCalls.ts'

type AnyFunction = (this: unknown, ...given: unknown[]) => unknown

/** Something that can be called: `prepare` draws what with, and tells it before anything happens. */
export interface Target {
  name: string
  prepare(draw: Draw): { text: string; run: () => unknown }
}

interface Parameter {
  name: string
  /** Of an object that is taken apart, or whose fields are read. */
  keys: readonly string[]
}

/** Splits at commas that are in no brackets. */
function pieces(text: string): string[] {
  const found: string[] = []
  let depth = 0
  let start = 0
  for (let i = 0; i < text.length; i++) {
    const letter = text[i] as string
    if ('([{'.includes(letter)) depth++
    else if (')]}'.includes(letter)) depth--
    else if (letter === ',' && depth === 0) {
      found.push(text.slice(start, i))
      start = i + 1
    }
  }
  return [...found, text.slice(start)].map((piece) => piece.trim()).filter((piece) => piece !== '')
}

const word = /^[A-Za-z_$][\w$]*/
const keysOf = (pattern: string) =>
  pieces(pattern.slice(1, pattern.lastIndexOf('}'))).flatMap((piece) => word.exec(piece)?.[0] ?? [])

/** The parameters of a function as they stand in its source. */
export function parametersOf(source: string): Parameter[] {
  const start = source.indexOf('(')
  let depth = 0
  let end = start
  for (; end < source.length; end++) {
    if (source[end] === '(') depth++
    else if (source[end] === ')' && --depth === 0) break
  }
  const body = source.slice(end)
  return pieces(source.slice(start + 1, end)).map((piece) => {
    if (piece.startsWith('{')) return { name: 'options', keys: keysOf(piece) }
    const name = word.exec(piece.replace(/^\.\.\./, ''))?.[0] ?? 'x'
    const keys = new Set<string>()
    for (const [, key] of body.matchAll(new RegExp(`\\b${name}\\??\\.(\\w+)`, 'g'))) keys.add(key as string)
    for (const [, pattern] of body.matchAll(new RegExp(`(\\{[^{}]*\\}) = ${name}\\b`, 'g')))
      for (const key of keysOf(pattern as string)) keys.add(key)
    return { name, keys: [...keys] }
  })
}

function argument(draw: Draw, { name, keys }: Parameter): Given {
  if (draw.chance(0.18)) return any(draw)
  const made = instanceFor(draw, name)
  if (made !== undefined) return made
  if (/options|settings|context|state|definition|config|more|plan|record|history/i.test(name))
    return options(draw, keys)
  return named(draw, name)
}

// A learner where a learner is expected, and so on.
function instanceFor(draw: Draw, name: string): Given | undefined {
  const found = parameterKinds.find(([pattern]) => pattern.test(name))
  if (!found) return undefined
  const kind = draw.of(found[1])
  return { text: `a ${kind}`, value: instances[kind]?.() }
}

const parameterKinds: readonly [RegExp, readonly string[]][] = [
  [
    /^(module|model|layer|network|net|body|generator|critic|modules)$/,
    ['Sequential', 'Linear', 'Conv2d', 'BatchNorm1d'],
  ],
  [/^learner$/, ['Learner']],
  [/^(optimizer|inner)$/, ['SGD', 'Adam']],
  [/^(data|bunch)$/, ['DataBunch']],
  [/^(dataset|ds|trainDs|validDs)$/, ['TensorDataset']],
  [/^(loader|dl|trainDl|validDl)$/, ['DataLoader']],
  [/^(random|stream)$/, ['RandomStream']],
  [/^(picture|image)$/, ['Picture']],
  [/^figure$/, ['Figure']],
]

const parsed = new Map<string, Parameter[]>()

function given(draw: Draw, source: string): { text: string; values: unknown[] } {
  const parameters = parsed.get(source) ?? parametersOf(source)
  parsed.set(source, parameters)
  // Sometimes fewer, sometimes more.
  const drawn = parameters
    .slice(0, draw.chance(0.1) ? draw.below(parameters.length + 1) : parameters.length)
    .map((each) => argument(draw, each))
  if (draw.chance(0.1) || (source.includes('...') && draw.chance(0.7)))
    drawn.push(...Array.from({ length: draw.below(3) }, () => any(draw)))
  return { text: drawn.map(({ text }) => text).join(', '), values: drawn.map(({ value }) => value) }
}

function isClass(value: AnyFunction): boolean {
  return /^class\b/.test(Function.prototype.toString.call(value))
}

function constructorSource(made: AnyFunction): string {
  for (let it = made; typeof it === 'function' && it !== Function.prototype; it = Object.getPrototypeOf(it)) {
    const source = Function.prototype.toString.call(it)
    const start = source.search(/\n\s+constructor\(/)
    if (start >= 0) return source.slice(start)
  }
  return '()'
}

/** Methods and accessors, inherited ones too, with the function to call. */
function membersOf(prototype: object): Map<string | symbol, PropertyDescriptor> {
  const found = new Map<string | symbol, PropertyDescriptor>()
  for (
    let it = prototype;
    it !== null && it !== Object.prototype && it !== Error.prototype;
    it = Object.getPrototypeOf(it)
  ) {
    for (const key of Reflect.ownKeys(it)) {
      if (key === 'constructor' || found.has(key)) continue
      found.set(key, Object.getOwnPropertyDescriptor(it, key) as PropertyDescriptor)
    }
  }
  return found
}

function memberTarget(
  owner: string,
  key: string | symbol,
  property: PropertyDescriptor,
  make: (draw: Draw) => Given,
): Target {
  const name = `${owner}.${String(key)}`
  return {
    name,
    prepare(draw) {
      const receiver = draw.chance(0.03) ? any(draw) : make(draw)
      const on = ` of ${receiver.text}`
      if (typeof property.value === 'function') {
        const { text, values } = given(draw, Function.prototype.toString.call(property.value))
        return {
          text: `${name}(${text})${on}`,
          run: () => (property.value as AnyFunction).apply(receiver.value, values),
        }
      }
      if (property.set && draw.chance(0.5)) {
        const { text, value } = named(draw, String(key))
        return { text: `${name} = ${text}${on}`, run: () => property.set?.call(receiver.value, value) }
      }
      return { text: `${name}${on}`, run: () => property.get?.call(receiver.value) }
    },
  }
}

function classTargets(name: string, made: AnyFunction): Target[] {
  const source = constructorSource(made)
  const construct: Target = {
    name: `new ${name}`,
    prepare(draw) {
      const { text, values } = given(draw, source)
      return { text: `new ${name}(${text})`, run: () => Reflect.construct(made, values) }
    },
  }
  const instance = instances[name]
  const make = (draw: Draw): Given => {
    if (instance) return { text: `a right ${name}`, value: instance() }
    const { text, values } = given(draw, source)
    try {
      return { text: `new ${name}(${text})`, value: Reflect.construct(made, values) }
    } catch {
      return { text: `a ${name} without insides`, value: Object.create(made.prototype as object) }
    }
  }
  const members = membersOf(made.prototype as object)
  members.delete('moveTo') // as below
  return [
    construct,
    ...[...members].map(([key, property]) => memberTarget(name, key, property, make)),
    ...Object.getOwnPropertyNames(made)
      .filter(
        (key) =>
          typeof (made as unknown as Record<string, unknown>)[key] === 'function' && key !== 'prototype',
      )
      .map(
        (key): Target =>
          functionTarget(
            `${name}.${key}`,
            (made as unknown as Record<string, AnyFunction>)[key] as AnyFunction,
            made,
          ),
      ),
  ]
}

function functionTarget(name: string, value: AnyFunction, self?: unknown): Target {
  const source = Function.prototype.toString.call(value)
  return {
    name,
    prepare(draw) {
      const { text, values } = given(draw, source)
      return { text: `${name}(${text})`, run: () => value.apply(self, values) }
    },
  }
}

/** Keeps what it is given for good; has 500 MB of weights whatever it is given. Both by right. */
const leftOut = new Set<string>(['registerModelKind', 'models.VGG'])
/** Hundreds of megabytes, and seconds for their random numbers: the small ones are made by the same functions. */
const large = /^models\.(vgg|wide|resnext|densenet|convnext|efficientnet|xresnet|resnet(34|50|101|152))/

function walk(title: string, module: object, seen: Set<unknown>): Target[] {
  const found: Target[] = []
  for (const [key, value] of Object.entries(module)) {
    const name = title === '' ? key : `${title}.${key}`
    if (seen.has(value) || leftOut.has(name) || large.test(name)) continue
    if (typeof value === 'function') {
      seen.add(value)
      if (!isClass(value)) found.push(functionTarget(name, value))
      else if (value !== anneal.Tensor) found.push(...classTargets(key, value))
    } else if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
      seen.add(value)
      found.push(...walk(name, value, seen))
    }
  }
  return found
}

/** A right call with one argument, or one field of one, replaced. */
const spoilt: Target[] = rightCalls.map(({ name, run, given: right }) => ({
  name: `spoilt ${name}`,
  prepare(draw) {
    const values = right()
    for (const value of values) if (value instanceof anneal.Tensor) draw.tensors.push(value)
    let text = 'as it is right'
    if (draw.chance(0.95)) {
      const at = draw.below(values.length)
      const whole = values[at]
      const keys =
        whole !== null && typeof whole === 'object' && Object.getPrototypeOf(whole) === Object.prototype
          ? Object.keys(whole)
          : []
      if (keys.length > 0 && draw.chance(0.8)) {
        const key = draw.of(keys)
        const { text: told, value } = draw.chance(0.4) ? named(draw, key) : any(draw)
        values[at] = { ...(whole as object), [key]: value }
        text = `${told} for ${key}`
      } else {
        const like = draw.chance(0.5)
          ? any
          : whole instanceof anneal.Tensor
            ? tensor
            : Array.isArray(whole)
              ? list
              : any
        const { text: told, value } = like(draw)
        values[at] = value
        text = `${told} for argument ${at}`
      }
    }
    return {
      text: `${name}(${text})`,
      run: () => {
        const result = run(...(values as never[]))
        if (result instanceof anneal.Tensor && result.requiresGrad && result.numel < 1e6)
          result.sum().backward()
        return result
      },
    }
  },
}))

// moveTo hands a tensor to a scope that will free it: whatever is given as one has it then.
const tensorTargets = [...membersOf(anneal.Tensor.prototype)]
  .filter(([key]) => key !== 'moveTo')
  .map(([key, property]) => memberTarget('Tensor', key, property, tensor))
const exported = walk('', { ...anneal, ...callbacks }, new Set([anneal.Tensor]))
exported.push({
  name: 'registerModelKind',
  prepare(draw) {
    const { text, value } = draw.of([number, string])(draw)
    return {
      text: `registerModelKind(${text}, ${text})`,
      run: () => anneal.registerModelKind(value as never, value as never),
    }
  },
})
exported.push({
  name: 'new Tensor',
  prepare(draw) {
    const { text, value } = any(draw)
    return { text: `new Tensor(${text})`, run: () => Reflect.construct(anneal.Tensor, [value]) }
  },
})

/** Which calls are made, and how often of a hundred. */
export const groups: readonly { share: number; targets: readonly Target[] }[] = [
  { share: 30, targets: tensorTargets },
  { share: 28, targets: exported },
  { share: 20, targets: spoilt },
  { share: 22, targets: nativeTargets },
]

/** A prime number: neighbours in the list, often alike, are not called one after the other. */
const apart = 7919

/** The target of a call: each of its group in turn, so that none is left out. */
export function targetOf(number: number): Target {
  let place = number % 100
  for (const { share, targets } of groups) {
    if (place < share)
      return targets[((Math.floor(number / 100) * share + place) * apart) % targets.length] as Target
    place -= share
  }
  throw new Error('the shares are not a hundred')
}

export const targetNames: readonly string[] = groups.flatMap(({ targets }) => targets.map(({ name }) => name))
