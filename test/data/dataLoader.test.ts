import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { DataBunch } from '../../src/data/DataBunch.ts'
import { DataLoader, type DataLoaderOptions } from '../../src/data/DataLoader.ts'
import type { Dataset } from '../../src/data/Dataset.ts'
import { ImageDataset, type ImageSample } from '../../src/data/image/ImageDataset.ts'
import type { RandomStream } from '../../src/data/random.ts'
import type { Sampler } from '../../src/data/samplers.ts'
import { TensorDataset } from '../../src/data/TensorDataset.ts'
import * as transforms from '../../src/data/transforms/index.ts'
import { ConfigError, DataError, ShapeError } from '../../src/engine/errors.ts'
import { arange, manualSeed, memoryStats, scope, stack, type Tensor, tensor } from '../../src/engine/index.ts'
import { smoothPicture, temporaryFolder, writePicture } from './pictures.ts'

/** Items that are their own index; `get` takes a while, the later ones less. */
class Indices implements Dataset<{ x: number[]; y: number }> {
  readonly length: number
  readonly delay: boolean
  inFlight = 0
  mostInFlight = 0
  started: number[] = []
  bad = new Set<number>()

  constructor(length: number, delay = false) {
    this.length = length
    this.delay = delay
  }

  async get(index: number, random: RandomStream) {
    this.started.push(index)
    this.inFlight++
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight)
    if (this.delay) await new Promise((resolve) => setTimeout(resolve, (index * 7) % 5))
    this.inFlight--
    if (this.bad.has(index)) throw new DataError(`item ${index} is broken`)
    return { x: [index, random.uniform()], y: index }
  }
}

const batches = async (loader: AsyncIterable<{ x: Tensor; y: Tensor }>) => {
  const all: number[][] = []
  for await (const { y } of loader) all.push(y.toArray() as number[])
  return all
}

const upTo = (count: number) => Array.from({ length: count }, (_, at) => at)

describe('batches', () => {
  it('come in order, the last one short', async () => {
    const loader = new DataLoader(new Indices(7), { batchSize: 3 })
    expect(loader.length).toBe(3)
    expect(await batches(loader)).toEqual([[0, 1, 2], [3, 4, 5], [6]])
  })

  it('without the last one if it is short', async () => {
    const loader = new DataLoader(new Indices(7), { batchSize: 3, dropLast: true })
    expect(loader.length).toBe(2)
    expect(await batches(loader)).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ])
  })

  it('of fastai: 23 items at 5 are 5,5,5,5 without and 5,5,5,5,3 with the last one', async () => {
    const sizes = async (dropLast: boolean) =>
      (await batches(new DataLoader(new Indices(23), { batchSize: 5, dropLast }))).map(
        (batch) => batch.length,
      )
    expect(await sizes(true)).toEqual([5, 5, 5, 5])
    expect(await sizes(false)).toEqual([5, 5, 5, 5, 3])
  })

  it('have int64 targets and float32 inputs', async () => {
    const { x, y } = await new DataLoader(new Indices(4), { batchSize: 4 }).first()
    expect([x.dtype, y.dtype]).toEqual(['float32', 'int64'])
    expect([x.shape, y.shape]).toEqual([[4, 2], [4]])
  })

  it('shuffled: each item once, another order each epoch, the same for the same seed', async () => {
    const epochs = async (seed: number) => {
      const loader = new DataLoader(new Indices(50), { batchSize: 8, shuffle: true, seed })
      return [(await batches(loader)).flat(), (await batches(loader)).flat()]
    }
    const [first, second] = (await epochs(3)) as [number[], number[]]
    expect([...first].sort((a, b) => a - b)).toEqual(upTo(50))
    expect([...second].sort((a, b) => a - b)).toEqual(upTo(50))
    expect(first).not.toEqual(second)
    expect(await epochs(3)).toEqual([first, second])
    expect((await epochs(4))[0]).not.toEqual(first)
  })

  it("follow from the engine's seed if they have none of their own", async () => {
    const order = async () =>
      (await batches(new DataLoader(new Indices(30), { batchSize: 10, shuffle: true }))).flat()
    manualSeed(7)
    const first = await order()
    manualSeed(7)
    expect(await order()).toEqual(first)
    expect(await order()).not.toEqual(first)
  })

  it('are the same whatever the number of workers', async () => {
    const of = async (options: DataLoaderOptions<{ x: number[]; y: number }>) => {
      const loader = new DataLoader(new Indices(40, true), {
        batchSize: 6,
        shuffle: true,
        seed: 5,
        ...options,
      })
      const all: unknown[] = []
      for (let epoch = 0; epoch < 2; epoch++) for await (const { x } of loader) all.push(x.toArray())
      return all
    }
    const expected = await of({ workers: 0 })
    for (const options of [
      { workers: 1 },
      { workers: 4 },
      { workers: 16, prefetch: 5 },
      { workers: 3, prefetch: 0 },
    ]) {
      expect(await of(options)).toEqual(expected)
    }
  })

  it('of a sampler, and an item that comes twice is augmented twice', async () => {
    const sampler: Sampler = { length: 4, replacement: true, indices: () => [2, 2, 0, 2] }
    const { x, y } = await new DataLoader(new Indices(3), { batchSize: 4, sampler, seed: 1 }).first()
    expect(y.toArray()).toEqual([2, 2, 0, 2])
    const drawn = (x.toArray() as number[][]).map(([, value]) => value)
    expect(new Set(drawn).size).toBe(4)
  })

  it("of a user's own collate", async () => {
    const collate = (items: { x: number[]; y: number }[]) => items.map(({ y }) => y).join('+')
    const all: string[] = []
    for await (const batch of new DataLoader(new Indices(5), { batchSize: 2, collate })) all.push(batch)
    expect(all).toEqual(['0+1', '2+3', '4'])
  })
})

describe("a user's own collate, of pictures", () => {
  const dataset = async (transform: readonly transforms.Transform[]) => {
    const folder = temporaryFolder()
    const files = await Promise.all(
      upTo(4).map((at) => writePicture(join(folder, `${at}.png`), smoothPicture(30 + at, 20))),
    )
    return new ImageDataset({ files, labels: upTo(4), classes: upTo(4).map(String), transform })
  }
  const size = [transforms.resize([8, 8])]

  it('is followed by what the transforms do to batches', async () => {
    const normalized = [
      ...size,
      transforms.toTensor(),
      transforms.normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]),
    ]
    const items = await dataset(normalized)
    const { x } = await new DataLoader(items, { batchSize: 4 }).first()
    const collate = (samples: ImageSample[]) => ({
      x: stack(samples.map((sample) => tensor(sample.x.data, { shape: [8, 8, 3] }))).permute(0, 3, 1, 2),
      names: samples.map(({ y }) => `number ${y}`),
    })
    const own = await new DataLoader(items, { batchSize: 4, collate }).first()
    expect(own.x.dtype).toBe('float32')
    expect(own.x.toArray()).toEqual((x as Tensor).toArray())
    expect(own.names).toEqual(['number 0', 'number 1', 'number 2', 'number 3'])
  })

  it('is an error where they find no tensor, and may give anything where there are none', async () => {
    const collate = (samples: ImageSample[]) => samples.map(({ y }) => y).join()
    const items = await dataset([...size, transforms.toTensor()])
    const refused = new DataLoader(items, { batchSize: 4, collate })
    await expect(refused.first()).rejects.toThrow(ConfigError)
    await expect(refused.first()).rejects.toThrow(/no tensor x for toTensor: let collate return \{ x, … \}/)
    expect(await new DataLoader(await dataset(size), { batchSize: 4, collate }).first()).toBe('0,1,2,3')
  })
})

describe('the background', () => {
  it('fetches at most `workers` items at a time, at most `prefetch` batches ahead', async () => {
    const dataset = new Indices(40, true)
    const iterator = new DataLoader(dataset, { batchSize: 4, workers: 3, prefetch: 2 })[
      Symbol.asyncIterator
    ]()
    await iterator.next()
    await vi.waitFor(() => expect(dataset.started.length).toBe(4 + 2 * 4), 20_000)
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(dataset.mostInFlight).toBe(3)
    expect(dataset.started.length).toBe(4 + 2 * 4)
    await iterator.return!()
  })

  it('does nothing ahead with workers: 0', async () => {
    const dataset = new Indices(40, true)
    const iterator = new DataLoader(dataset, { batchSize: 4, workers: 0 })[Symbol.asyncIterator]()
    await iterator.next()
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(dataset.started).toEqual([0, 1, 2, 3])
    expect(dataset.mostInFlight).toBe(1)
    await iterator.return!()
  })

  it('is empty once the loop has been left', async () => {
    const dataset = new Indices(100, true)
    for await (const _ of new DataLoader(dataset, { batchSize: 4, workers: 4 })) break
    expect(dataset.inFlight).toBe(0)
    const { length } = dataset.started
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(dataset.started.length).toBe(length)
  })

  it('is empty after an error in the loop', async () => {
    const dataset = new Indices(100, true)
    const run = async () => {
      for await (const _ of new DataLoader(dataset, { batchSize: 4, workers: 4 })) throw new Error('mine')
    }
    await expect(run()).rejects.toThrow('mine')
    expect(dataset.inFlight).toBe(0)
  })

  it('lets timers run between batches', async () => {
    let ticks = 0
    const timer = setInterval(() => ticks++, 0)
    const x = arange(4000).reshape([4000, 1])
    for await (const _ of new DataLoader(new TensorDataset(x, x))) if (ticks > 3) break
    clearInterval(timer)
    expect(ticks).toBeGreaterThan(3)
  })
})

describe('calls of next that overlap', () => {
  it('give the batches that calls after one another give, each to the bit', async () => {
    const folder = temporaryFolder()
    const files = await Promise.all(
      upTo(20).map((at) => writePicture(join(folder, `${at}.png`), smoothPicture(60 + at, 50))),
    )
    const noise: transforms.BatchTransform = {
      kind: 'batch',
      name: 'noise',
      parameters: {},
      apply: (x, random) => x.to('float32').add(random.uniform()),
    }
    const dataset = new ImageDataset({
      files,
      labels: upTo(20),
      classes: upTo(20).map(String),
      transform: [transforms.randomResizedCrop(32), noise],
    })
    const iterate = () =>
      new DataLoader(dataset, { batchSize: 2, seed: 3, workers: 4 })[Symbol.asyncIterator]()
    const one = iterate()
    const expected: unknown[] = []
    for (let at = 0; at < 11; at++) expected.push(contents(await one.next()))
    const other = iterate()
    const overlapping = await Promise.all(upTo(11).map(async () => contents(await other.next())))
    expect(overlapping).toEqual(expected)
    expect(expected.at(-1)).toEqual('done')

    function contents({ done, value }: IteratorResult<{ x: unknown; y: Tensor }, undefined>) {
      return done ? 'done' : [(value.x as Tensor).toArray(), value.y.toArray()]
    }
  })

  it('give nothing any more, and no error, once the epoch is ended', async () => {
    let started = 0
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const get = async (index: number) => {
      started++
      await gate
      return index
    }
    const iterator = new DataLoader({ length: 40, get }, { batchSize: 8, workers: 2 })[Symbol.asyncIterator]()
    const pending = [iterator.next(), iterator.next()]
    await vi.waitFor(() => expect(started).toBe(2))
    const ended = iterator.return!()
    release()
    expect(await ended).toEqual({ done: true, value: undefined })
    expect(started).toBe(2)
    for (const result of await Promise.all(pending)) expect(result).toEqual({ done: true, value: undefined })
    expect(await iterator.next()).toEqual({ done: true, value: undefined })
  })
})

describe('tensors belong to the consumer', () => {
  it('those of a batch are freed with the scope it was taken in', async () => {
    const iterator = new DataLoader(new Indices(12), { batchSize: 3, workers: 2 })[Symbol.asyncIterator]()
    const taken: { x: Tensor; y: Tensor }[] = []
    for (let at = 0; at < 3; at++) {
      await scope(async () => {
        const { value } = await iterator.next()
        taken.push(value!)
        expect(value!.x.isAlive).toBe(true)
      })
      expect(taken.at(-1)!.x.isAlive).toBe(false)
      expect(taken.at(-1)!.y.isAlive).toBe(false)
    }
    await iterator.return!()
  })

  it('those that a dataset makes in the background are not freed with the batch before', async () => {
    const dataset: Dataset<{ x: Tensor; y: number }> = {
      length: 12,
      get: async (index) => ({ x: tensor([index, index + 1]), y: index }),
    }
    const iterator = new DataLoader(dataset, { batchSize: 3, workers: 2, prefetch: 2 })[
      Symbol.asyncIterator
    ]()
    const seen: unknown[] = []
    for (let at = 0; at < 4; at++) {
      await scope(async () => {
        const { value } = await iterator.next()
        seen.push((value!.x.toArray() as number[][])[0])
        await new Promise((resolve) => setTimeout(resolve, 5))
      })
    }
    expect(seen).toEqual([
      [0, 1],
      [3, 4],
      [6, 7],
      [9, 10],
    ])
    await iterator.return!()
  })

  it('none is left over after epochs in scopes', async () => {
    const loader = new DataLoader(new Indices(20), { batchSize: 4 })
    const epoch = () => scope(async () => void (await batches(loader)))
    await epoch()
    const { tensors } = memoryStats()
    for (let at = 0; at < 5; at++) await epoch()
    expect(memoryStats().tensors).toBe(tensors)
  })
})

describe('state', () => {
  const loader = () => new DataLoader(new Indices(30), { batchSize: 4, shuffle: true, seed: 9 })
  const numberDtypes = { y: 'int64' }

  it('goes on with the next epoch', async () => {
    const first = loader()
    await batches(first)
    const state = first.state()
    expect(state).toEqual({ seed: 9, epoch: 1, batch: 0, numberDtypes })
    const second = new DataLoader(new Indices(30), { batchSize: 4, shuffle: true })
    second.loadState(state)
    expect(await batches(second)).toEqual(await batches(first))
  })

  it('goes on in the middle of an epoch, without fetching what came before', async () => {
    const whole = await batches(loader())
    const first = loader()
    let state = first.state()
    let count = 0
    for await (const _ of first) {
      count++
      state = first.state()
      if (count === 3) break
    }
    expect(state).toEqual({ seed: 9, epoch: 0, batch: 3, numberDtypes })
    const dataset = new Indices(30)
    const second = new DataLoader(dataset, { batchSize: 4, shuffle: true })
    second.loadState(JSON.parse(JSON.stringify(state)))
    expect(second.state()).toEqual(state)
    expect(await batches(second)).toEqual(whole.slice(3))
    expect(dataset.started.length).toBe(30 - 12)
    expect(second.state()).toEqual({ seed: 9, epoch: 1, batch: 0, numberDtypes })
  })

  it('keeps what numbers have become, whichever batches come next', async () => {
    // The second batch alone would be taken for class indices, and the third refused.
    const measured = { length: 6, get: (i: number) => ({ x: [i], y: [0.5, 1, 2, 3, 4, 5.5][i]!, z: i }) }
    const make = () => new DataLoader(measured, { batchSize: 2 })
    const first = make()
    const dtypes: string[] = []
    let state = first.state()
    expect(state).not.toHaveProperty('numberDtypes')
    for await (const { y, z } of first) {
      dtypes.push(y.dtype, z.dtype)
      if (dtypes.length === 2) state = first.state()
    }
    expect(dtypes).toEqual(['float32', 'int64', 'float32', 'int64', 'float32', 'int64'])
    const second = make()
    second.loadState(JSON.parse(JSON.stringify(state)))
    expect(second.state()).toEqual(state)
    const resumed: string[] = []
    for await (const { y, z } of second) resumed.push(y.dtype, z.dtype)
    expect(resumed).toEqual(dtypes.slice(2))
    // And in a loader that is like it but for its batches.
    const other = second.with({ batchSize: 1, sampler: { length: 2, indices: () => [1, 2] } })
    for await (const { y } of other) expect(y.dtype).toBe('float32')
    // A state of before: nothing is settled yet.
    second.loadState({ seed: 1, epoch: 0, batch: 1 })
    const { value } = await second[Symbol.asyncIterator]().next()
    expect(value!.y.dtype).toBe('int64')
    for (const numberDtypes of [null, 'int64', { y: 'int32' }] as never[]) {
      expect(() => second.loadState({ ...state, numberDtypes })).toThrow(ConfigError)
    }
  })

  it('an epoch that was left early is over', async () => {
    const first = loader()
    for await (const _ of first) break
    expect(first.state()).toEqual({ seed: 9, epoch: 1, batch: 0, numberDtypes })
  })

  it('looking at the first batch moves nothing', async () => {
    const first = loader()
    const { y } = await first.first()
    expect(first.state()).toEqual({ seed: 9, epoch: 0, batch: 0, numberDtypes })
    expect((await batches(first))[0]).toEqual(y.toArray())
  })
})

describe('what is no dataset', () => {
  it.each<[unknown, RegExp]>([
    [[{ x: 1, y: 2 }], /length and get\(index\).*got an array; of an array, \{ length: array.length, get/],
    [
      (function* () {
        yield 1
      })(),
      /length and get\(index\).*got an object/,
    ],
    [undefined, /got undefined/],
    [new Map(), /got an object of class Map/],
    [{ length: 3 }, /length and get/],
    [{ get: () => 1 }, /length and get/],
  ])('is refused: %s', (dataset, message) => {
    const makers = [
      () => new DataLoader(dataset as never),
      () => DataBunch.create(dataset as never),
      ...(dataset
        ? [() => DataBunch.create({ length: 2, get: () => 1 }, dataset as never, { batchSize: 1 })]
        : []),
    ]
    for (const make of makers) {
      expect(make).toThrow(ConfigError)
      expect(make).toThrow(message)
    }
  })

  it('or an empty one, which is called so', () => {
    const empty = { length: 0, get: () => ({ x: 1, y: 1 }) }
    expect(() => DataBunch.create(empty)).toThrow(DataError)
    expect(() => DataBunch.create(empty)).toThrow('the training set is empty')
    expect(() => new DataLoader(empty)).toThrow('the dataset is empty')
  })
})

describe('TensorDataset', () => {
  const x = arange(20).reshape([10, 2])
  const y = arange(10)

  it('gathers batches in the engine', async () => {
    const all: unknown[] = []
    for await (const batch of new DataLoader(new TensorDataset(x, y), { batchSize: 4 })) {
      all.push([batch.x.toArray(), batch.y.toArray()])
    }
    expect(all[2]).toEqual([
      [
        [16, 17],
        [18, 19],
      ],
      [8, 9],
    ])
    expect(all.length).toBe(3)
  })

  it('shuffles inputs and targets alike', async () => {
    const seen: number[] = []
    for await (const batch of new DataLoader(new TensorDataset(x, y), {
      batchSize: 3,
      shuffle: true,
      seed: 2,
    })) {
      const rows = batch.x.toArray() as number[][]
      const targets = batch.y.toArray() as number[]
      expect(rows.map(([first]) => first! / 2)).toEqual(targets)
      seen.push(...targets)
    }
    expect([...seen].sort((a, b) => a - b)).toEqual(upTo(10))
    expect(seen).not.toEqual(upTo(10))
  })

  it('has items too', async () => {
    const collate = (items: { x: Tensor; y: Tensor }[]) => items.map((item) => item.y.item())
    const values: number[][] = []
    for await (const batch of new DataLoader(new TensorDataset(x, y), { batchSize: 6, collate }))
      values.push(batch)
    expect(values).toEqual([upTo(6), [6, 7, 8, 9]])
  })

  it('gives lists of inputs and of targets where it has several', async () => {
    const z = x.mul(10)
    const dataset = new TensorDataset([x, y], [y, z, x])
    expect(dataset.length).toBe(10)
    const item = dataset.get(3)
    expect(item.x.map((part) => part.toArray())).toEqual([[6, 7], 3])
    expect(item.y.map((part) => part.toArray())).toEqual([3, [60, 70], [6, 7]])
    const loader = new DataLoader(dataset, { batchSize: 4, shuffle: true, seed: 2 })
    const alone = new DataLoader(new TensorDataset(x, y), { batchSize: 4, shuffle: true, seed: 2 })
    const expected: unknown[] = []
    for await (const batch of alone) {
      const [a, b] = [batch.x.toArray(), batch.y.toArray()]
      expected.push([a, b, b, batch.x.mul(10).toArray(), a])
    }
    const all: unknown[] = []
    for await (const batch of loader) all.push([...batch.x, ...batch.y].map((part) => part.toArray()))
    expect(all).toEqual(expected)
    // As items that are collated are.
    const byItems: unknown[] = []
    const plain = { length: 10, get: (index: number) => dataset.get(index) }
    for await (const batch of new DataLoader(plain, { batchSize: 4, shuffle: true, seed: 2 })) {
      byItems.push([...batch.x, ...batch.y].map((part) => part.toArray()))
    }
    expect(byItems).toEqual(expected)
    const single = new DataLoader(new TensorDataset(x, [y]), { batchSize: 4 })
    expect((await single.first()).y).toHaveLength(1)
  })

  it('refuses a third tensor, and what is no tensor', () => {
    const three: readonly unknown[] = [x, y, y]
    const make = (parts: readonly unknown[]) => new TensorDataset(...(parts as [Tensor, Tensor]))
    expect(() => make(three)).toThrow(ConfigError)
    expect(() => make(three)).toThrow(/3 arguments.*as a list, new TensorDataset\(x, \[y1, y2\]\)/)
    for (const wrong of [[1, 2], undefined, [], new Float32Array(2), [x, 1]]) {
      expect(() => make([x, wrong])).toThrow(ConfigError)
      expect(() => make([wrong, y])).toThrow(/inputs must be a tensor or a list of tensors/)
    }
    expect(() => new TensorDataset(x, [y, arange(4)])).toThrow(ShapeError)
  })

  it('refuses tensors that do not belong together', () => {
    expect(() => new TensorDataset(arange(4), arange(5))).toThrow(ShapeError)
    expect(() => new TensorDataset(arange(4), arange(5))).toThrow(/\[4\] and \[5\]/)
    expect(() => new TensorDataset(tensor(1), tensor(1))).toThrow(ShapeError)
  })
})

describe('items that cannot be had', () => {
  const broken = (delay = false) => {
    const dataset = new Indices(20, delay)
    dataset.bad = new Set([5, 6, 12, 13, 14, 15])
    return dataset
  }

  it('throw when their batch is asked for, not before, the first one first', async () => {
    for (const workers of [0, 1, 8]) {
      const seen: number[][] = []
      const run = async () => {
        for await (const { y } of new DataLoader(broken(true), { batchSize: 4, workers }))
          seen.push(y.toArray() as number[])
      }
      await expect(run()).rejects.toThrow('item 5 is broken')
      expect(seen).toEqual([[0, 1, 2, 3]])
    }
  })

  it('are left out, counted and listed with onError: skip', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const dataset = broken()
    const loader = new DataLoader(dataset, { batchSize: 4, onError: 'skip' })
    expect(await batches(loader)).toEqual([
      [0, 1, 2, 3],
      [4, 7],
      [8, 9, 10, 11],
      [16, 17, 18, 19],
    ])
    expect(loader.skipped.map(({ index }) => index)).toEqual([5, 6, 12, 13, 14, 15])
    expect(loader.skipped[0]).toEqual({ index: 5, item: 'item 5', reason: 'item 5 is broken' })
    expect(warned).toHaveBeenCalledTimes(1)
    expect(warned.mock.calls[0]![0]).toMatch(/6 of 20 items were left out .*\n {2}item 5 is broken/)
    await batches(loader)
    expect(loader.skipped.length).toBe(6)
    expect(warned).toHaveBeenCalledTimes(1)
    warned.mockRestore()
  })

  it('are not among the indices that a batch is told to be', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const told = async <Item, B extends object>(loader: DataLoader<Item, B>) => {
      const all: (readonly number[] | undefined)[] = []
      for await (const batch of loader) all.push(loader.indicesOf(batch))
      return all
    }
    const rest = [
      [0, 1, 2, 3],
      [4, 7],
      [8, 9, 10, 11],
      [16, 17, 18, 19],
    ]
    const options = { batchSize: 4, onError: 'skip' } as const
    expect(await told(new DataLoader(broken(), options))).toEqual(rest)
    expect(await told(new DataLoader(broken(), { ...options, collate: (items) => ({ items }) }))).toEqual(
      rest,
    )
    const shuffled = new DataLoader(broken(), { ...options, shuffle: true, seed: 1 })
    for await (const batch of shuffled) expect(shuffled.indicesOf(batch)).toEqual(batch.y.toArray())
    expect(shuffled.indicesOf({})).toBeUndefined()
    const gathered = new DataLoader(new TensorDataset(arange(5), arange(5)), { batchSize: 2, seed: 1 })
    expect(gathered.indicesOf(await gathered.first())).toEqual([0, 1])
    warned.mockRestore()
  })

  it('mistakes in the code are never skipped', async () => {
    const dataset: Dataset<number> = {
      length: 4,
      get: () => {
        throw new TypeError('a slip')
      },
    }
    const run = async () => {
      for await (const _ of new DataLoader(dataset, { onError: 'skip' })) void _
    }
    await expect(run()).rejects.toThrow(TypeError)
  })
})

describe('collation', () => {
  const collated = async <Item>(items: Item[], options: DataLoaderOptions<Item> = {}) =>
    new DataLoader<Item>(
      { length: items.length, get: (index) => items[index]! },
      { batchSize: items.length, ...options },
    ).first()

  it('of nested items, part by part', async () => {
    const batch = await collated([
      { x: [tensor([1, 2]), { size: 1.5, name: 'a' }], y: Float64Array.of(1), ok: true, id: 7n },
      { x: [tensor([3, 4]), { size: 2, name: 'b' }], y: Float64Array.of(2), ok: false, id: 8n },
    ] as { x: [Tensor, { size: number; name: string }]; y: Float64Array; ok: boolean; id: bigint }[])
    expect(batch.x[0].toArray()).toEqual([
      [1, 2],
      [3, 4],
    ])
    expect([batch.x[1].size.dtype, batch.x[1].size.toArray()]).toEqual(['float32', [1.5, 2]])
    expect(batch.x[1].name).toEqual(['a', 'b'])
    expect([batch.y.dtype, batch.y.shape]).toEqual(['float64', [2, 1]])
    expect([batch.ok.dtype, (batch.ok.toArray() as number[]).map(Boolean)]).toEqual(['bool', [true, false]])
    expect([batch.id.dtype, batch.id.toArray()]).toEqual(['int64', [7, 8]])
  })

  it('of pictures: bytes, channels-last in memory', async () => {
    const image = (start: number) => ({
      data: Uint8Array.from({ length: 12 }, (_, at) => start + at),
      width: 2,
      height: 2,
    })
    const x = await collated([image(0), image(100)])
    expect([x.dtype, x.shape, x.strides]).toEqual(['uint8', [2, 3, 2, 2], [12, 1, 6, 3]])
    expect((x.toArray() as number[][][][])[1]![2]).toEqual([
      [102, 105],
      [108, 111],
    ])
  })

  it('settles what single numbers become with the first batch', async () => {
    const values = [1, 2, 3.5]
    const loader = new DataLoader<number>({ length: 3, get: (index) => values[index]! }, { batchSize: 2 })
    const run = async () => {
      for await (const batch of loader) expect(batch.dtype).toBe('int64')
    }
    await expect(run()).rejects.toThrow(/item 2: the item is 3\.5, .*numberDtype: 'float32'/)
    const measured = loader.with({ numberDtype: 'float32' })
    for await (const batch of measured) expect(batch.dtype).toBe('float32')
  })

  it('settles it by the first batch, though a later one is there before', async () => {
    for (const [values, dtypes] of [
      [
        [0.5, 1.5, 2, 3],
        ['float32', 'float32'],
      ],
      [[2, 3, 0.5, 1.5], ['int64']],
    ] as const) {
      for (const workers of [0, 4]) {
        const get = async (index: number) => {
          if (index === 0) await new Promise((resolve) => setTimeout(resolve, 20))
          return values[index]!
        }
        const seen: string[] = []
        const run = async () => {
          for await (const { dtype } of new DataLoader<number>({ length: 4, get }, { batchSize: 2, workers }))
            seen.push(dtype)
        }
        if (dtypes.length === 1)
          await expect(run()).rejects.toThrow(/item 2: the item is 0\.5, but the numbers/)
        else await run()
        expect(seen).toEqual(dtypes)
      }
    }
  })

  it('of numbers beyond 2^53: measured values, not class indices', async () => {
    for (const values of [[1e20, 2], [2 ** 53, 1], [-(2 ** 60)]]) {
      const batch = await collated(values)
      expect([batch.dtype, batch.toArray()]).toEqual(['float32', values.map(Math.fround)])
    }
    const largest = [2 ** 53 - 1, 1 - 2 ** 53]
    const whole = await collated(largest)
    expect([whole.dtype, whole.toArray()]).toEqual(['int64', largest])
    await expect(collated([1, 1e20], { numberDtype: 'int64' })).rejects.toThrow(
      /item 1: the item is 100000+, but/,
    )
    expect((await collated([-(2n ** 63n)])).dtype).toBe('int64')
    await expect(collated([1n, 2n ** 63n])).rejects.toThrow(
      /item 1: .* 9223372036854775808n, which int64 cannot/,
    )
  })

  it('of bytes in any array of bytes', async () => {
    const rows = [Buffer.of(1, 2), Uint8Array.of(3, 4), Uint8ClampedArray.of(5, 6)]
    const warned = vi.spyOn(process, 'emitWarning').mockReturnValue()
    const batch = await collated(rows)
    expect([batch.dtype, batch.toArray()]).toEqual([
      'uint8',
      [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
    ])
    expect(warned).not.toHaveBeenCalled()
    warned.mockRestore()
    await expect(collated([Int32Array.of(1), Float32Array.of(2)])).rejects.toThrow(
      /item 1: the item is a Float32Array, but that of item 0 a Int32Array/,
    )
  })

  it.each([
    Int16Array.of(1),
    Uint32Array.of(1),
    BigUint64Array.of(1n),
    new Date(0),
    new Map([['a', 1]]),
    new (class Custom {
      a = 1
    })(),
  ])('refuses %o, whose values are not its keys', async (value) => {
    const { name } = value.constructor
    await expect(collated([value, value] as never[])).rejects.toThrow(DataError)
    await expect(collated([{ x: value }] as never[])).rejects.toThrow(
      new RegExp(`item 0: its x is a ${name}, which cannot be made into a batch`),
    )
    await expect(collated([{ a: 1 }, value] as never[])).rejects.toThrow(
      new RegExp(`item 1: the item is a ${name}, but that of item 0 is a plain object`),
    )
    const bare = Object.assign(Object.create(null), { a: 1 }) as { a: number }
    expect((await collated([bare, { a: 2 }])).a.toArray()).toEqual([1, 2])
  })

  it('refuses masks that have not one class for each pixel', async () => {
    const mask = (count: number, width = 2, height = 2) => ({
      classes: new Uint8Array(count).fill(7),
      width,
      height,
    })
    const { y } = await collated([{ y: mask(4) }, { y: mask(4) }])
    expect(y.shape).toEqual([2, 2, 2])
    for (const count of [3, 6]) {
      await expect(collated([{ y: mask(count) }, { y: mask(4) }])).rejects.toThrow(DataError)
      await expect(collated([{ y: mask(4) }, { y: mask(count) }])).rejects.toThrow(
        new RegExp(`item 1: its mask has ${count} classes, but 2x2 pixels take 4`),
      )
    }
    for (const side of [-2, 0, 1.5, NaN, 2 ** 53]) {
      await expect(collated([mask(4, side, side)])).rejects.toThrow(/item 0: its size is .*whole numbers/)
    }
    await expect(collated([mask(4), mask(2, 2, 1)])).rejects.toThrow(ShapeError)
  })

  it('refuses what is not alike, and says which item it is', async () => {
    await expect(collated([[1, 2], [3]] as number[][])).rejects.toThrow(
      /\[2\] in item 0, but \[1\] in item 1/,
    )
    await expect(collated([1, 'a'] as never[])).rejects.toThrow(/item 1: the item is a string, .* a number/)
    await expect(collated([{ x: 1 }, {}] as never[])).rejects.toThrow(/item 1: its x is missing/)
    await expect(collated([tensor([1]), tensor([1, 2])])).rejects.toThrow(ShapeError)
    await expect(collated([null, null] as never[])).rejects.toThrow(/cannot be made into a batch/)
    const image = (width: number) => ({ data: new Uint8Array(width * 3), width, height: 1 })
    await expect(collated([image(2), image(3)])).rejects.toThrow(
      /item 0 is 2x1 and item 1 is 3x1\. Pass size/,
    )
  })
})

describe('options that cannot be', () => {
  const dataset = new Indices(5)

  it.each([
    [{ batchSize: 0 }, /batchSize must be a whole number of at least 1, got 0/],
    [{ batchSize: 2.5 }, /batchSize/],
    [{ workers: -1 }, /workers/],
    [{ prefetch: Number.NaN }, /prefetch/],
    [{ seed: -4 }, /a seed is a whole number/],
    [{ onError: 'ignore' }, /onError must be one of 'throw', 'skip', got "ignore"/],
    [{ batchsize: 3 }, /unknown option batchsize; the options are batchSize/],
    [{ shuffle: true, sampler: { length: 5, indices: () => upTo(5) } }, /a sampler decides/],
  ])('%j', (options, message) => {
    expect(() => new DataLoader(dataset, options as never)).toThrow(ConfigError)
    expect(() => new DataLoader(dataset, options as never)).toThrow(message)
  })

  it('batches larger than the dataset, if only full ones count', () => {
    expect(() => new DataLoader(dataset, { batchSize: 6, dropLast: true })).toThrow(DataError)
    expect(() => new DataLoader(dataset, { batchSize: 6, dropLast: true })).toThrow(
      /6 is larger than the 5 items/,
    )
    expect(new DataLoader(dataset, { batchSize: 6 }).length).toBe(1)
    expect(() => new DataLoader(new Indices(0))).toThrow(/the dataset is empty/)
  })

  it('samplers that do not keep their word', () => {
    const wrong = new DataLoader(dataset, { sampler: { length: 2, indices: () => [0, 5] } })
    expect(() => wrong[Symbol.asyncIterator]()).toThrow(
      /asks for item 5 at position 1, but the dataset has items 0 to 4/,
    )
    const short = new DataLoader(dataset, { sampler: { length: 2, indices: () => [0] } })
    expect(() => short[Symbol.asyncIterator]()).toThrow(/2 items, but its order holds 1/)
  })
})
