import { describe, expect, it } from 'vitest'
import * as callbacks from '../../callbacks/index.ts'
import { Callback } from '../../src/learner/index.ts'

type Made = new (options: object) => Callback

/** Without options of their own, or bases of others. */
const without = [
  'Recorder',
  'BnFreeze',
  'FileLogger',
  'MixingCallback',
  'ScheduleCallback',
  'TrackerCallback',
  'WeightAverageCallback',
]

const classes = Object.entries(callbacks).flatMap(([name, value]): [string, Made][] =>
  typeof value === 'function' && value.prototype instanceof Callback && !without.includes(name)
    ? [[name, value as unknown as Made]]
    : [],
)

describe('options of callbacks', () => {
  it('there are callbacks', () => expect(classes.length).toBeGreaterThan(20))

  it.each(classes)('%s refuses one that it does not know, and lists those that it does', (_name, Made) => {
    expect(() => new Made({ nonsense: 1 })).toThrow(/unknown option nonsense; the options are \w+/)
  })

  it.each([
    ['CheckpointCallback', 'last.pth', { every: 'interrupt' }],
    ['CheckpointCallback', 'last.pt', {}],
    ['SaveModelCallback', 'best.pth', {}],
    ['SaveModelCallback', 'best.pth', { every: 'epoch' }],
  ] as const)(
    '%s refuses the name %s, with %o, before the fit and not after its first epoch',
    (made, name, options) => {
      const Made = Object.fromEntries(classes)[made]!
      expect(() => new Made({ name, ...options })).toThrow(
        /saves safetensors, not \.pth?: leave the extension out/,
      )
      expect(() => new Made({ name: '', ...options })).toThrow(/name must not be empty/)
      for (const good of ['best', 'v1.5', 'best.safetensors']) new Made({ name: good, ...options })
    },
  )
})
