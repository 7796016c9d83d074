import type { Interpolation } from '../../data/image/Picture.ts'
import { type ImageStats, imagenetStats } from '../../data/stats.ts'
import { ConfigError } from '../../engine/errors.ts'
import { imagenetClasses } from './imagenetClasses.ts'

/** Weights that someone has trained and published, and what is known of them. */
export interface PretrainedWeights {
  /** The function in `models` that makes the network. */
  readonly architecture: string
  /** The set of weights, as their publisher calls it. */
  readonly name: string
  readonly url: string
  /** Name of the file, in the cache as at its publisher. */
  readonly file: string
  /** Size in bytes, or about so much. */
  readonly bytes: number
  /**
   * SHA-256 in hexadecimal. Where no source gives the whole of it, the first 8 digits, which are part of the file's name; a file
   * is compared with as many as there are.
   */
  readonly sha256: string
  readonly license: string
  /** Whose weights these are, and where the licence stands. */
  readonly source: string
  /** Names of the outputs. */
  readonly classes: readonly string[]
  /** How pictures were normalised. */
  readonly stats: ImageStats
  /** Pixels of the shorter side before the middle is cut out, and of the middle. */
  readonly resize: number
  readonly crop: number
  /** How the publisher resized them: `transforms.resize(resize, { interpolation })`, then `transforms.centerCrop(crop)`. */
  readonly interpolation: Interpolation
  /** Share of ImageNet's validation pictures named rightly, at once and among five, as the publisher measured. */
  readonly accuracy: { readonly top1: number; readonly top5: number }
}

const PLACE = 'https://download.pytorch.org/models/'

type Row = [
  architecture: string,
  file: string,
  sha256: string,
  bytes: number,
  top1: number,
  top5: number,
  options?: { name?: string; resize?: number; interpolation?: Interpolation },
]

// File names, accuracies and preprocessing are those of torchvision's documentation. Whole checksums and exact sizes are given where
// several public sources agree on them and the checksum begins with the digits in the file's name; elsewhere those 8 digits
// stand, and the size follows from the number of parameters.
const rows: readonly Row[] = [
  [
    'resnet18',
    'resnet18-f37072fd',
    'f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec',
    46_830_571,
    69.758,
    89.078,
  ],
  [
    'resnet34',
    'resnet34-b627a593',
    'b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f',
    87_319_819,
    73.314,
    91.42,
  ],
  [
    'resnet50',
    'resnet50-0676ba61',
    '0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a',
    102_530_333,
    76.13,
    92.862,
  ],
  [
    'resnet101',
    'resnet101-63fe2227',
    '63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a',
    178_800_000,
    77.374,
    93.546,
  ],
  ['resnet152', 'resnet152-394f9c45', '394f9c45', 241_700_000, 78.312, 94.046],
  ['resnext50_32x4d', 'resnext50_32x4d-7cdf4587', '7cdf4587', 100_400_000, 77.618, 93.698],
  ['resnext101_32x8d', 'resnext101_32x8d-8ba56ff5', '8ba56ff5', 356_100_000, 79.312, 94.526],
  [
    'wideResnet50_2',
    'wide_resnet50_2-95faca4d',
    '95faca4d11227dddf8633dbb5ff6c8a9003c1aa5b8945c73834b8007b10950b8',
    138_223_492,
    78.468,
    94.086,
  ],
  ['wideResnet101_2', 'wide_resnet101_2-32ee1156', '32ee1156', 254_695_146, 78.848, 94.284],
  ['squeezenet1_0', 'squeezenet1_0-b66bff10', 'b66bff10', 5_000_000, 58.092, 80.42],
  [
    'squeezenet1_1',
    'squeezenet1_1-b8a52dc0',
    'b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b',
    4_958_839,
    58.178,
    80.624,
  ],
  ['vgg11', 'vgg11-8a719046', '8a719046', 531_500_000, 69.02, 88.628],
  ['vgg13', 'vgg13-19584684', '19584684', 532_200_000, 69.928, 89.246],
  [
    'vgg16',
    'vgg16-397923af',
    '397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0',
    553_433_881,
    71.592,
    90.382,
  ],
  [
    'vgg19',
    'vgg19-dcbb9e9d',
    'dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44',
    574_673_361,
    72.376,
    90.876,
  ],
  ['vgg11Bn', 'vgg11_bn-6002323d', '6002323d', 531_500_000, 70.37, 89.81],
  ['vgg13Bn', 'vgg13_bn-abd245e5', 'abd245e5', 532_200_000, 71.586, 90.374],
  ['vgg16Bn', 'vgg16_bn-6c64b313', '6c64b313', 553_507_836, 73.36, 91.516],
  ['vgg19Bn', 'vgg19_bn-c79401a0', 'c79401a0', 574_769_405, 74.218, 91.842],
  [
    'densenet121',
    'densenet121-a639ec97',
    'a639ec97d7c33b07ae66f0b5fb7d0192f95a3b11b7576c66c0126c2a727c4395',
    32_342_954,
    74.434,
    91.972,
  ],
  ['densenet161', 'densenet161-8d451a50', '8d451a50', 115_700_000, 77.138, 93.56],
  ['densenet169', 'densenet169-b2777c0a', 'b2777c0a', 57_400_000, 75.6, 92.806],
  ['densenet201', 'densenet201-c1103571', 'c1103571', 81_100_000, 76.896, 93.37],
  [
    'mobilenetV2',
    'mobilenet_v2-b0353104',
    'b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889',
    14_200_000,
    71.878,
    90.286,
  ],
  [
    'efficientnetB0',
    'efficientnet_b0_rwightman-7f5810bc',
    '7f5810bc96def8f7552d5b7e68d53c4786f81167d28291b21c0d90e1fca14934',
    21_444_401,
    77.692,
    93.532,
    { interpolation: 'bicubic' },
  ],
  [
    'convnextTiny',
    'convnext_tiny-983f1562',
    '983f1562536e84ff750a1576fb08e54de751dbf2e17c0d8a4a13704341fdcd3d',
    114_419_221,
    82.52,
    96.146,
    { resize: 236 },
  ],
]

const registry: ReadonlyMap<string, PretrainedWeights> = new Map(
  rows.map(([architecture, stem, sha256, bytes, top1, top5, options = {}]) => {
    const weights: PretrainedWeights = {
      architecture,
      name: 'IMAGENET1K_V1',
      url: `${PLACE}${stem}.pth`,
      file: `${stem}.pth`,
      bytes,
      sha256,
      license: 'BSD-3-Clause',
      source:
        'torchvision (https://github.com/pytorch/vision), trained on ImageNet-1k, whose pictures have terms of their own',
      classes: imagenetClasses,
      stats: imagenetStats,
      resize: options.resize ?? 256,
      crop: 224,
      interpolation: options.interpolation ?? 'bilinear',
      accuracy: { top1: top1 / 100, top5: top5 / 100 },
    }
    return [architecture, weights]
  }),
)

/** All published weights that are known of. */
export function listPretrained(): PretrainedWeights[] {
  return [...registry.values()]
}

/** Whether there are published weights of an architecture. */
export function hasPretrained(architecture: string): boolean {
  return registry.has(architecture)
}

/**
 * What is known of the published weights of an architecture, as `resnet18`: place, checksum, licence, class names, normalisation.
 * @throws ConfigError if there are none
 */
export function pretrainedWeights(architecture: string): PretrainedWeights {
  const found = registry.get(architecture)
  if (found) return found
  throw new ConfigError(
    `there are no published weights of ${JSON.stringify(architecture)} in the registry; there are of ${[...registry.keys()].join(', ')}`,
  )
}
