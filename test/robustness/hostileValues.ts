/** Values that make no sense, or that turn on whoever reads them, and what a parameter of a name expects. */
import * as engine from '../../src/engine/index.ts'
import { type Draw, device, dtype, type Given, Hostile, is, list, type Make, number, string } from './draw.ts'
import { tensor, tensors } from './hostileTensors.ts'

const { scope, Tensor } = engine

// --- what happens while a value is read

/** What functions, getters and finalizers do behind the library's back. */
const tricks: readonly [string, (draw: Draw) => unknown][] = [
  [
    'throws',
    () => {
      throw new Hostile('thrown on purpose')
    },
  ],
  [
    'throws null',
    () => {
      throw null
    },
  ],
  ['gives nothing', () => undefined],
  ['gives NaN', () => Number.NaN],
  ['gives a tensor', (draw) => tensor(draw).value],
  ['gives what it was given', (draw) => draw.tensors[0]],
  [
    'disposes',
    (draw) => {
      for (const one of draw.tensors) one.dispose()
      return draw.tensors[0]
    },
  ],
  [
    'goes backward',
    (draw) => {
      for (const one of draw.tensors)
        if (one.isAlive && one.requiresGrad && one.numel > 0) one.sum().backward()
      return draw.tensors[0]
    },
  ],
  [
    'changes in place',
    (draw) => {
      for (const one of draw.tensors) if (one.isAlive) engine.noGrad(() => one.fill_(1))
    },
  ],
  [
    'trains',
    (draw) => {
      const x = engine.tensor([1, 2, 3], { requiresGrad: true })
      x.mul(x).sum().backward()
      return draw.chance(0.5) ? x.grad : x
    },
  ],
  ['opens a scope', (draw) => scope(() => tensor(draw).value)],
  [
    'waits',
    (draw) => {
      engine.synchronize()
      return draw.tensors[0]?.isAlive && draw.tensors[0].numel === 1 ? draw.tensors[0].item() : 1
    },
  ],
  [
    'empties the lists',
    (draw) => {
      for (const one of draw.lists) one.length = 0
    },
  ],
  [
    'fills the lists',
    (draw) => {
      for (const one of draw.lists) one.push(any(draw).value, ...one.slice(0, 100))
    },
  ],
  ['calls again', (draw) => draw.callAgain()],
  [
    'is a promise',
    async (draw) => {
      await null
      return tensor(draw).value
    },
  ],
  [
    'is a promise that fails',
    async () => {
      await null
      throw new Hostile('rejected on purpose')
    },
  ],
  ['gives anything', (draw) => any(draw).value],
]

function play(draw: Draw, trick: (draw: Draw) => unknown): unknown {
  if (draw.depth >= 2) return undefined
  draw.depth++
  try {
    return trick(draw)
  } finally {
    draw.depth--
  }
}

export function hostileFunction(draw: Draw): Given {
  const [text, trick] = draw.of(tricks)
  return is(`a function that ${text}`, (...given: unknown[]) => {
    for (const one of given) if (one instanceof Tensor) draw.tensors.push(one)
    return play(draw, trick)
  })
}

/** A list that is not what it says. */
export function hostileList(draw: Draw): Given {
  const [text, trick] = draw.of(tricks)
  const inner = draw.chance(0.5) ? (list(draw).value as unknown[]) : (tensors(draw).value as unknown[])
  const kind = draw.below(5)
  if (kind === 0) {
    const copy = [...inner]
    Object.defineProperty(copy, draw.below(3), { get: () => play(draw, trick), enumerable: true })
    return is(`a list with a getter that ${text}`, copy)
  }
  if (kind === 1) {
    const proxy = new Proxy(inner, {
      get: (target, key) => (key === '0' || key === '1' ? play(draw, trick) : Reflect.get(target, key)),
    })
    return is(`a proxy of a list that ${text}`, proxy)
  }
  if (kind === 2) {
    const lies = draw.of([0, 1, 100, 10_000, -1, Number.NaN])
    const proxy = new Proxy(inner, {
      get: (target, key) => (key === 'length' ? lies : Reflect.get(target, key)),
    })
    return is(`a proxy of a list of length ${lies}`, proxy)
  }
  if (kind === 3) {
    const copy = [...inner]
    copy[Symbol.iterator] = function* () {
      for (let left = draw.below(4); left > 0; left--) yield play(draw, trick)
    } as never
    return is(`a list whose iterator ${text}`, copy)
  }
  inner[0] = inner
  return is('a list that holds itself', inner)
}

/** An object, with these keys among others, some of which are getters. */
export function options(draw: Draw, keys: readonly string[]): Given {
  const made: Record<string, unknown> = {}
  const told: string[] = []
  for (const key of keys) {
    if (!draw.chance(keys.length > 4 ? 0.25 : 0.5)) continue
    if (draw.chance(0.06)) {
      const [text, trick] = draw.of(tricks)
      Object.defineProperty(made, key, { get: () => play(draw, trick), enumerable: true, configurable: true })
      told.push(`get ${key}() that ${text}`)
    } else {
      const { text, value } = draw.chance(0.75) ? named(draw, key) : any(draw)
      made[key] = value
      told.push(`${key}: ${text}`)
    }
  }
  if (draw.chance(0.02)) Object.defineProperty(made, '__proto__', { value: 1, enumerable: true })
  return is(`{ ${told.join(', ')} }`, made)
}

function typedArray(draw: Draw): Given {
  const kinds = [
    Float32Array,
    Float64Array,
    Int32Array,
    Uint8Array,
    BigInt64Array,
    Uint16Array,
    Uint8ClampedArray,
  ] as const
  const Kind = draw.of(kinds)
  const bytes = 8 * draw.below(5)
  const how = draw.below(5)
  if (how === 0) return is(`${Kind.name} over shared memory`, new Kind(new SharedArrayBuffer(bytes) as never))
  const Resizable = ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer
  const buffer = new Resizable(bytes, { maxByteLength: 64 }) as ArrayBuffer & {
    resize(to: number): void
  }
  const array = new Kind(buffer)
  if (how === 1) {
    structuredClone(buffer, { transfer: [buffer] })
    return is(`detached ${Kind.name}`, array)
  }
  if (how === 2) {
    const part = new Kind(buffer, 0, bytes / Kind.BYTES_PER_ELEMENT)
    buffer.resize(draw.of([0, 3, 64]))
    return is(`${Kind.name} of a resized buffer`, part)
  }
  return is(`${Kind.name} of ${bytes} bytes`, how === 3 ? new Kind(bytes / 8) : array)
}

const objects: readonly Make[] = [
  () => is('{}', {}),
  () => is('[]', []),
  () => is('Object.create(null)', Object.create(null)),
  () => is('a date', new Date(0)),
  () =>
    is(
      'a map',
      new Map<unknown, unknown>([
        ['a', 1],
        [2, []],
      ]),
    ),
  () => is('a set', new Set([1])),
  () => is('a regular expression', /x/),
  () => is('an error', new Error('x')),
  () => is('a class', class Anything {}),
  () => is('a buffer', Buffer.from('abc')),
  () => is('a data view', new DataView(new ArrayBuffer(8))),
  () => is('an object that is a number', { valueOf: () => 3 }),
  () => is('a tensor without insides', Object.create(Tensor.prototype)),
  () => is('[[1], [2, 3]]', [[1], [2, 3]]),
  () =>
    is('[[1, 2], [3, 4]]', [
      [1, 2],
      [3, 4],
    ]),
  () => is('a sparse list', new Array(5)),
  () => is('a long list', new Array(40_000).fill(1)),
  () => is('nine ones', new Array(9).fill(1)),
  (draw) =>
    is('an object that plays tricks', {
      [Symbol.toPrimitive]: () => play(draw, draw.of(tricks)[1]),
      get length() {
        return play(draw, draw.of(tricks)[1])
      },
      get dtype() {
        return play(draw, draw.of(tricks)[1])
      },
      toString: () => play(draw, draw.of(tricks)[1]),
    }),
  (draw) =>
    is(
      'a proxy that throws',
      new Proxy(
        {},
        {
          get() {
            throw new Hostile('a proxy')
          },
          ownKeys() {
            throw new Hostile('a proxy')
          },
          getPrototypeOf() {
            if (draw.chance(0.5)) throw new Hostile('a proxy')
            return null
          },
        },
      ),
    ),
  () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return is('a revoked proxy', proxy)
  },
  (draw) => is('a proxy of a tensor', new Proxy(tensor(draw).value as object, {})),
  (draw) => {
    const itself: Record<string, unknown> = { x: tensor(draw).value }
    itself.itself = itself
    return is('an object that holds itself', itself)
  },
  (draw) => is('a thenable', Object.fromEntries([['then', () => play(draw, draw.of(tricks)[1])]])),
  typedArray,
  typedArray,
]

const plain = [undefined, null, true, false, 10n, 2n ** 64n, -1n, Symbol('wrong')]

/** Anything at all. */
export function any(draw: Draw): Given {
  const kind = draw.random()
  if (kind < 0.25) return number(draw)
  if (kind < 0.4) return tensor(draw)
  if (kind < 0.48) return list(draw)
  if (kind < 0.53) return tensors(draw)
  if (kind < 0.6) return string(draw)
  if (kind < 0.7) {
    const value = draw.of(plain)
    return is(typeof value === 'bigint' ? `${value}n` : String(value), value)
  }
  if (kind < 0.77) return hostileFunction(draw)
  if (kind < 0.82) return hostileList(draw)
  if (kind < 0.85) return draw.chance(0.5) ? dtype(draw) : device(draw)
  return draw.of(objects)(draw)
}

// --- what a parameter of that name expects

/** More kinds of value by name of the parameter, from who knows the rest of the library. */
export const byName: [RegExp, Make][] = [
  [/dtype/i, dtype],
  [/^(device|name)$/, (draw) => (draw.chance(0.5) ? device(draw) : string(draw))],
  [
    /shape|sizes?$|kernelSize|stride|padding|dilation|dims$|repeats|shifts|order/i,
    (draw) => (draw.chance(0.6) ? list(draw) : number(draw)),
  ],
  [/(^|[a-z])(tensors|params|parameters|inputs|outputs|list|items)$/i, tensors],
  [
    /^(x|y|a|b|z|input|other|tensor|left|right|target|targets|source|weight|bias|mask|condition|gradient|gradOutput|values|scores|logits|real|fake|images|labels|indices|index|grid|theta|root|result|value|mean|std|runningMean|runningVar|predictions|probabilities|end|weights|alpha)$/,
    tensor,
  ],
  [
    /^(body|fn|fun|function|callback|hook|forward|backward|done|make|compute|collate|hear|run|remover|getLabel|labelFunction|activation|init|lossFunction|split)$|Function$|^on[A-Z]/,
    hostileFunction,
  ],
  [/path|file|folder|dir$|monitor|mode|reduction|event|names?$|key|url|prefix|equation|text/i, string],
  [
    /dim|axis|count|start|stop|step|length|epochs?|batch|every|size|groups|offset|lr|rate|momentum|eps|seed|factor|probability|p$|k$|n$|width|height|classes|channels|features|correction|diagonal|chunks|scale|wd|beta|decay|number|patience|min|max|workers|index/i,
    number,
  ],
]

export function named(draw: Draw, name: string): Given {
  for (const [pattern, make] of byName) if (pattern.test(name)) return make(draw)
  return any(draw)
}
