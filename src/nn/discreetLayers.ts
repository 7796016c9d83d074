import * as activations from './activations.ts'
import { BatchNorm1d, BatchNorm2d } from './batchNorm.ts'
import { Sequential } from './containers.ts'
import { Conv1d, Conv2d } from './conv.ts'
import { ConvTranspose1d, ConvTranspose2d } from './convTranspose.ts'
import { Dropout, Dropout2d } from './dropout.ts'
import { Embedding } from './embedding.ts'
import { Identity, Linear } from './linear.ts'
import { GroupNorm, LayerNorm } from './normalization.ts'
import * as padding from './padding.ts'
import { markDiscreet, markDiscreetLeaves } from './passing.ts'
import * as pooling from './pooling.ts'
import * as resampling from './resampling.ts'
import { Flatten } from './shape.ts'

// The layers of this folder show what flows through them to nobody. A class derived from one says so for itself.
markDiscreet(Sequential, pooling.AdaptiveConcatPool2d)
markDiscreetLeaves(
  ...Object.values(activations),
  ...[BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm],
  ...[Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Linear, Embedding],
  ...[Dropout, Dropout2d, Flatten, Identity],
  ...Object.values(padding),
  ...Object.values(pooling).filter((layer) => layer !== pooling.AdaptiveConcatPool2d),
  ...Object.values(resampling),
)
