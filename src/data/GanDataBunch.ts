import { type Tensor, tensor } from '../engine/index.ts'
import type { Figure } from '../plot/index.ts'
import { DataBunch, type DataBunchOptions, defined, type LoaderKind } from './DataBunch.ts'
import { LOADER_NAMES } from './DataLoader.ts'
import type { TensorBatch } from './Dataset.ts'
import { ImageDataset, type ImageDatasetParts, type ImageSample } from './image/ImageDataset.ts'
import { type CacheOption, pictureStores } from './image/PictureCache.ts'
import { imagePipelines } from './imagePipelines.ts'
import { checkCount, rejectUnknownOptions } from './options.ts'
import { filesOf } from './pictureLists.ts'
import type { RandomStream } from './random.ts'
import { showImages } from './showImages.ts'
import type { ImageStats } from './stats.ts'
import type { Size, Transform } from './transforms/Transform.ts'

/** Brings pictures to [-1, 1], the range of tanh. */
export const ganStats: ImageStats = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] }

export interface GanDataOptions
  extends Pick<DataBunchOptions<ImageSample, TensorBatch>, (typeof LOADER_NAMES)[number]> {
  /** Height and width of the pictures; the middle is cut out of those of other shapes. */
  size: Size
  /** Numbers of noise for each picture. Default 100. */
  noise?: number
  /** Default: only what `size` asks for. */
  transforms?: Transform | readonly Transform[]
  /** Keep decoded pictures in memory or on disk; see `ImageDataBunch`. */
  cache?: CacheOption
  /** Endings of picture files. Default `imageExtensions`. */
  extensions?: readonly string[]
}

/** Pictures as targets of noise: batches are `x` = noise `[N, noise, 1, 1]`, normal, and `y` = pictures `[N, 3, H, W]` in [-1, 1]. */
export class GanDataBunch extends DataBunch<ImageSample, TensorBatch> {
  readonly noise: number
  /** Height and width of the pictures, if they are square. */
  readonly size: number | undefined
  readonly stats = ganStats

  constructor(train: GanDataset, options: DataBunchOptions<ImageSample, TensorBatch>, size?: Size) {
    super(train, null, options)
    this.noise = train.noise
    const [height, width] = typeof size === 'object' ? size : [size, size]
    this.size = height === width ? height : undefined
  }

  /** All pictures below `dir`, whatever their folder. @throws DataError if there are none */
  static async fromFolder(dir: string, options: GanDataOptions): Promise<GanDataBunch> {
    const { size, noise = 100, transforms, cache, extensions, ...rest } = options
    rejectUnknownOptions('GanDataBunch.fromFolder', rest, LOADER_NAMES)
    checkCount('GanDataBunch', 'noise', noise, 1)
    const { files } = filesOf(dir, undefined, extensions)
    const { train } = imagePipelines({
      size,
      resizeMethod: 'crop',
      stats: ganStats,
      ...(transforms && { transforms: { train: transforms } }),
    })
    const dataset = new GanDataset(
      {
        files,
        labels: new Int32Array(files.length),
        classes: [],
        transform: train,
        cache: pictureStores(cache)(),
      },
      noise,
    )
    return new GanDataBunch(dataset, { ...defined(rest), path: dir, c: 1, classes: [] }, size)
  }

  /** The pictures of a batch, as a figure that saves itself. */
  async showBatch({ rows = 3, kind = 'train' }: { rows?: number; kind?: LoaderKind } = {}): Promise<Figure> {
    checkCount('showBatch', 'rows', rows, 1)
    const { y } = await this.oneBatch(kind)
    return showImages(y, { stats: ganStats, columns: rows, count: rows * rows })
  }
}

/** Pictures, for which noise is drawn batch by batch. */
class GanDataset extends ImageDataset {
  readonly noise: number

  constructor(parts: ImageDatasetParts, noise: number) {
    super(parts)
    this.noise = noise
  }

  override finishBatch<B>(batch: B, random: RandomStream): B {
    const { x: y } = super.finishBatch(batch as { x: Tensor }, random)
    const count = y.shape[0]!
    const values = Float32Array.from({ length: count * this.noise }, () => random.normal())
    const x = tensor(values, { shape: [count, this.noise, 1, 1], device: y.device })
    return { x, y } as B
  }
}
