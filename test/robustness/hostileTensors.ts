/** Tensors of every dtype, layout and history, some of which are freed. */
import * as engine from '../../src/engine/index.ts'
import { type Draw, type Given, is } from './draw.ts'
import { any } from './hostileValues.ts'

const shapes = [
  [],
  [0],
  [1],
  [3],
  [7],
  [2, 3],
  [3, 2],
  [3, 3],
  [0, 3],
  [2, 0],
  [1, 1],
  [2, 3, 4],
  [4, 1, 3],
  [1, 3, 6, 6],
  [2, 4, 5, 5],
  [1, 2, 1, 1],
  [2, 0, 4, 4],
  [1, 1, 2, 1, 2],
  [1, 1, 1, 1, 1, 1, 1, 2],
  [65],
  [5, 64],
  [1025],
]

function fresh(draw: Draw): Given {
  const shape = draw.of(shapes)
  const type = draw.chance(0.6) ? 'float32' : draw.of(engine.dtypes)
  const size = shape.reduce((product, side) => product * side, 1)
  const special = draw.chance(0.15)
  const values = Array.from({ length: size }, () =>
    special
      ? draw.of([0, -1, 1e9, -7, 1e30, Number.NaN, Number.POSITIVE_INFINITY, 3])
      : draw.below(9) - (type === 'int64' ? 0 : 2),
  )
  const whole = type.startsWith('int') || type === 'uint8' || type === 'bool'
  const data = Float64Array.from(values, (value) =>
    whole ? Math.trunc(Math.min(value || 0, 2e9)) : value / 2,
  )
  const made = engine.tensor(data, { shape, dtype: type })
  return is(`${type}[${shape}]${special ? ' special' : ''}`, made)
}

/** What becomes of a fresh tensor. */
const states: readonly [string, (x: engine.Tensor, draw: Draw) => engine.Tensor][] = [
  ['leaf', (x) => (engine.isFloatingPoint(x.dtype) ? x.requiresGrad_() : x)],
  ['tracked', (x) => (engine.isFloatingPoint(x.dtype) ? x.requiresGrad_().mul(2) : x.mul(2))],
  ['transposed', (x) => (x.ndim > 1 ? x.transpose(0, -1) : x)],
  ['sliced', (x) => (x.ndim > 0 && x.shape[0]! > 1 ? x.narrow(0, 1, x.shape[0]! - 1) : x)],
  ['expanded', (x) => (x.ndim < 6 ? x.unsqueeze(0).expand(3, ...x.shape) : x)],
  ['channels last', (x) => (x.ndim === 4 ? engine.channelsLast(x) : x)],
  ['view of a leaf', (x) => (engine.isFloatingPoint(x.dtype) ? x.requiresGrad_().reshape(-1) : x)],
  ['changed in place', (x) => x.mul(1).add_(1)],
  [
    'used up',
    (x) => {
      if (!engine.isFloatingPoint(x.dtype) || x.numel === 0) return x
      const y = x.requiresGrad_().mul(x)
      y.sum().backward()
      return y
    },
  ],
  [
    'disposed',
    (x) => {
      x.dispose()
      return x
    },
  ],
  [
    'disposed while needed',
    (x, draw) => {
      if (!engine.isFloatingPoint(x.dtype)) return x
      const y = x.requiresGrad_().exp()
      draw.tensors.push(y.mul(y))
      y.dispose()
      return y
    },
  ],
  [
    'of a closed scope',
    (x) => {
      let made = x
      engine.scope(() => {
        made = x.mul(1)
      })
      return made
    },
  ],
]

export function tensor(draw: Draw): Given {
  const { text, value } = fresh(draw)
  let made = value as engine.Tensor
  let state = ''
  if (draw.chance(0.6)) {
    const [name, change] = draw.of(draw.chance(0.85) ? states.slice(0, 9) : states)
    made = change(made, draw)
    state = ` ${name}`
  }
  draw.tensors.push(made)
  return is(text + state, made)
}

export function tensors(draw: Draw): Given {
  const made = Array.from({ length: draw.below(4) }, () => (draw.chance(0.9) ? tensor(draw) : any(draw)))
  const values = made.map(({ value }) => value)
  draw.lists.push(values)
  return is(`[${made.map(({ text }) => text).join(', ')}]`, values)
}
