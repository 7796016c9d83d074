export type { Architecture, ModelOptions } from './architecture.ts'
export { ConvNeXt, type ConvNeXtOptions, convnextTiny } from './convnext.ts'
export {
  DenseNet,
  type DenseNetDesign,
  type DenseNetOptions,
  densenet121,
  densenet161,
  densenet169,
  densenet201,
} from './densenet.ts'
export { EfficientNet, type EfficientNetOptions, efficientnetB0 } from './efficientnet.ts'
export { MobileNetV2, type MobileNetV2Options, mobilenetV2 } from './mobilenet.ts'
export {
  BasicBlock,
  Bottleneck,
  ResNet,
  type ResNetDesign,
  type ResNetOptions,
  resnet18,
  resnet34,
  resnet50,
  resnet101,
  resnet152,
  resnext50_32x4d,
  resnext101_32x8d,
  wideResnet50_2,
  wideResnet101_2,
} from './resnet.ts'
export { type SimpleCnnOptions, simpleCnn } from './simpleCnn.ts'
export { SqueezeNet, type SqueezeNetOptions, squeezenet1_0, squeezenet1_1 } from './squeezenet.ts'
export { DynamicUnet, type PictureSize, type UnetOptions } from './unet.ts'
export {
  VGG,
  type VGGDesign,
  type VGGOptions,
  vgg11,
  vgg11Bn,
  vgg13,
  vgg13Bn,
  vgg16,
  vgg16Bn,
  vgg19,
  vgg19Bn,
} from './vgg.ts'
export { XResNet, xresnet18, xresnet34, xresnet50, xresnet101, xresnet152 } from './xresnet.ts'
