export {
  type RotateOptions,
  randomRotate,
  randomSymmetricWarp,
  randomZoom,
  type SymmetricWarpOptions,
  type ZoomOptions,
} from './affine.ts'
export { type ColorJitterOptions, colorJitter, type JitterRange } from './colorJitter.ts'
export { compose } from './compose.ts'
export {
  type Borders,
  type Colour,
  type CropPadOptions,
  centerCrop,
  cropPad,
  type PadOptions,
  pad,
  type RandomCropOptions,
  randomCrop,
} from './crop.ts'
export { type CutoutOptions, cutout, type RandomErasingOptions, randomErasing } from './erase.ts'
export { randomDihedral, randomHorizontalFlip, randomVerticalFlip } from './flip.ts'
export { type GetTransformsOptions, getTransforms, type TransformPair } from './getTransforms.ts'
export { type LightingOptions, randomLighting } from './lighting.ts'
export { type PerspectiveOptions, randomPerspective } from './perspective.ts'
export { type PresizeOptions, presize } from './presize.ts'
export { type RandomResizedCropOptions, randomResizedCrop } from './randomResizedCrop.ts'
export { contain, cover, type ResizeOptions, resize } from './resize.ts'
export type { BatchTransform, PictureTransform, Pipeline, Size, Transform } from './Transform.ts'
export { normalize, toTensor } from './tensors.ts'
