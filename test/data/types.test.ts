import { describe, expectTypeOf, it } from 'vitest'
import {
  type Collated,
  DataBunch,
  DataLoader,
  type Dataset,
  getTransforms,
  ImageDataBunch,
  type RgbImage,
  transforms as T,
  TensorDataset,
} from '../../src/data/index.ts'
import { arange, type Tensor } from '../../src/engine/index.ts'

describe('what the compiler knows', () => {
  it('batches have the types that collation gives', () => {
    expectTypeOf<Collated<{ x: RgbImage; y: number }>>().toEqualTypeOf<{ x: Tensor; y: Tensor }>()
    expectTypeOf<Collated<{ x: number[]; y: string; z: [Float32Array, { w: bigint }] }>>().toEqualTypeOf<{
      x: Tensor
      y: string[]
      z: [Tensor, { w: Tensor }]
    }>()
    const dataset = new TensorDataset(arange(4), arange(4))
    expectTypeOf(new DataLoader(dataset).first()).resolves.toEqualTypeOf<{ x: Tensor; y: Tensor }>()
    expectTypeOf(DataBunch.create(dataset, null, { batchSize: 2 }).oneBatch()).resolves.toEqualTypeOf<{
      x: Tensor
      y: Tensor
    }>()
    const collate = (items: { x: Tensor; y: Tensor }[]) => items.length
    expectTypeOf(new DataLoader(dataset, { collate }).first()).resolves.toEqualTypeOf<number>()
    expectTypeOf<ImageDataBunch['classes']>().toEqualTypeOf<readonly string[]>()
  })

  it('slips do not compile', () => {
    const slips = (dataset: Dataset<number>) => {
      // @ts-expect-error: batchSize
      new DataLoader(dataset, { batchsize: 4 })
      // @ts-expect-error: 'throw' or 'skip'
      new DataLoader(dataset, { onError: 'ignore' })
      // @ts-expect-error: transforms come as a pair
      void ImageDataBunch.fromFolder('.', { transforms: T.compose([]) })
      // @ts-expect-error: maxRotate
      getTransforms({ maxrotate: 10 })
      // @ts-expect-error: a size is a number or two
      T.resize([1, 2, 3])
      // @ts-expect-error: a transform, not its maker
      T.compose([T.resize])
      // @ts-expect-error: no such loader
      void DataBunch.create(dataset).oneBatch('validation')
    }
    void slips
  })
})
