export type { SkippedItem } from './BatchIterator.ts'
export { cifar10 } from './cifar10.ts'
export { type Collated, Collator } from './collate.ts'
export { DataBunch, type DataBunchOptions, type LoaderKind, type LossHint } from './DataBunch.ts'
export { DataLoader, type DataLoaderOptions, type DataLoaderState } from './DataLoader.ts'
export type { BatchFinisher, Dataset, GatherableDataset, Sample, TensorBatch } from './Dataset.ts'
export { GanDataBunch, type GanDataOptions, ganStats } from './GanDataBunch.ts'
export { ImageDataBunch } from './ImageDataBunch.ts'
export { type IdxData, type MnistOptions, mnist, readIdx } from './idx.ts'
export type { DiskCacheOption } from './image/DiskCache.ts'
export { imageExtensions, torchvisionExtensions } from './image/extensions.ts'
export { ImageDataset, type ImageDatasetParts, type ImageSample } from './image/ImageDataset.ts'
export { ImageFolder, type ImageFolderOptions, type SkippedInFolder } from './image/ImageFolder.ts'
export type { PicturePath, SkippedFiles } from './image/listPictures.ts'
export { type Interpolation, Picture } from './image/Picture.ts'
export type { CacheOption } from './image/PictureCache.ts'
export type { ClassMask, RgbImage } from './image/RgbImage.ts'
export type {
  FromCsvOptions,
  FromFolderOptions,
  FromListsOptions,
  FromMasksOptions,
  ImageDataBunchOptions,
  ShowBatchOptions,
} from './imageDataBunchOptions.ts'
export type { ResizeMethod } from './imagePipelines.ts'
export type { Label } from './labelledPictures.ts'
export type { ItemDescription, PictureSource } from './pictureItem.ts'
export { type RandomKey, type RandomPurpose, RandomStream } from './random.ts'
export { ShardedSampler } from './ShardedSampler.ts'
export { RandomSampler, type Sampler, SequentialSampler } from './samplers.ts'
export { type ShowImagesOptions, showImages } from './showImages.ts'
export { randomSplit } from './split.ts'
export { cifarStats, type ImageStats, imagenetStats, mnistStats } from './stats.ts'
export { TensorDataset } from './TensorDataset.ts'
export { type ReadCsvOptions, readCsv, type Table } from './table/readCsv.ts'
export { type TableBatch, TableDataset } from './table/TableDataset.ts'
export {
  type CategoryColumn,
  type NumberColumn,
  type TableDescription,
  TableEncoder,
  type TableRow,
} from './table/TableEncoder.ts'
export {
  type EncodedData,
  type FromTableOptions,
  fromTable,
  missingTexts,
  TabularDataBunch,
} from './table/TabularDataBunch.ts'
export { type GetTransformsOptions, getTransforms, type TransformPair } from './transforms/getTransforms.ts'
export * as transforms from './transforms/index.ts'
export { balancedSampler, WeightedSampler } from './WeightedSampler.ts'
