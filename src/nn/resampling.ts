import {
  type InterpolateMode,
  type InterpolateOptions,
  interpolate,
  pixelShuffle,
  pixelUnshuffle,
  type Tensor,
} from '../engine/index.ts'
import { Module } from './Module.ts'
import { positiveInteger, rejectUnknownOptions } from './options.ts'
import { reprFields, reprValue } from './repr.ts'

export type UpsampleOptions = InterpolateOptions

const upsampleOptions = ['size', 'scaleFactor', 'mode', 'alignCorners', 'recomputeScaleFactor']

/**
 * `[N, C, H, W]` or `[N, C, L]` at another size: see `F.interpolate`.
 *
 * @example new nn.Upsample({ scaleFactor: 2 })
 * @example new nn.Upsample({ size: [64, 64], mode: 'bilinear', alignCorners: false })
 */
export class Upsample extends Module {
  readonly size: InterpolateOptions['size']
  readonly scaleFactor: InterpolateOptions['scaleFactor']
  readonly mode: InterpolateMode
  readonly alignCorners: boolean | undefined
  readonly recomputeScaleFactor: boolean | undefined

  constructor(options: UpsampleOptions) {
    super()
    rejectUnknownOptions('Upsample', options, upsampleOptions)
    this.size = options.size
    this.scaleFactor = options.scaleFactor
    this.mode = options.mode ?? 'nearest'
    this.alignCorners = options.alignCorners
    this.recomputeScaleFactor = options.recomputeScaleFactor
  }

  override forward(x: Tensor): Tensor {
    const { size, scaleFactor, mode, alignCorners, recomputeScaleFactor } = this
    return interpolate(x, { size, scaleFactor, mode, alignCorners, recomputeScaleFactor })
  }

  override extraRepr(): string {
    const by =
      this.scaleFactor === undefined
        ? `size=${reprValue(this.size ?? null)}`
        : `scale_factor=${reprFloat(this.scaleFactor)}`
    return `${by}, mode=${this.mode}`
  }
}

// PyTorch keeps scale factors as floats.
function reprFloat(value: number | readonly number[]): string {
  if (typeof value !== 'number') return `(${value.map(reprFloat).join(', ')})`
  return Number.isInteger(value) ? `${value}.0` : reprValue(value)
}

/** Channels become pixels: `[..., C·factor², H, W]` to `[..., C, H·factor, W·factor]` (Shi et al. 2016). */
export class PixelShuffle extends Module {
  readonly upscaleFactor: number

  constructor(upscaleFactor: number) {
    super()
    this.upscaleFactor = positiveInteger(upscaleFactor, 'PixelShuffle', 'upscaleFactor')
  }

  override forward(x: Tensor): Tensor {
    return pixelShuffle(x, this.upscaleFactor)
  }

  override extraRepr(): string {
    return reprFields({ upscale_factor: this.upscaleFactor })
  }
}

/** Pixels become channels: `[..., C, H·factor, W·factor]` to `[..., C·factor², H, W]`. */
export class PixelUnshuffle extends Module {
  readonly downscaleFactor: number

  constructor(downscaleFactor: number) {
    super()
    this.downscaleFactor = positiveInteger(downscaleFactor, 'PixelUnshuffle', 'downscaleFactor')
  }

  override forward(x: Tensor): Tensor {
    return pixelUnshuffle(x, this.downscaleFactor)
  }

  override extraRepr(): string {
    return reprFields({ downscale_factor: this.downscaleFactor })
  }
}
