import { ConfigError } from '../../engine/errors.ts'
import type { RgbImage } from '../image/RgbImage.ts'
import { checkRange, rejectUnknownOptions } from '../options.ts'
import type { PictureTransform } from './Transform.ts'

/** How far a property is changed: uniform from 1 − m to 1 + m (at least 0), or the range itself. */
export type JitterRange = number | readonly [low: number, high: number]

export interface ColorJitterOptions {
  /** Default 0: none. */
  brightness?: JitterRange
  /** Default 0: none. */
  contrast?: JitterRange
  /** Default 0: none. */
  saturation?: JitterRange
  /** Part of the colour circle, at most 0.5: uniform from −h to h, or the range itself. Default 0: none. */
  hue?: JitterRange
}

/** Changes brightness, contrast, saturation and hue, in an order that is drawn too; torchvision's `ColorJitter`. */
export function colorJitter(options: ColorJitterOptions = {}): PictureTransform {
  rejectUnknownOptions('colorJitter', options, ['brightness', 'contrast', 'saturation', 'hue'])
  const { brightness = 0, contrast = 0, saturation = 0, hue = 0 } = options
  const ranges = [
    rangeOf('brightness', brightness, 1, [0, Number.MAX_VALUE]),
    rangeOf('contrast', contrast, 1, [0, Number.MAX_VALUE]),
    rangeOf('saturation', saturation, 1, [0, Number.MAX_VALUE]),
    rangeOf('hue', hue, 0, [-0.5, 0.5]),
  ]
  const changes = [changeBrightness, changeContrast, changeSaturation, changeHue]
  return {
    kind: 'picture',
    name: 'colorJitter',
    parameters: { brightness, contrast, saturation, hue },
    apply: (picture, random) => {
      const order = random.permutation(4)
      const amounts = ranges.map((range) => (range ? random.uniform(range[0], range[1]) : undefined))
      for (const which of order) {
        const amount = amounts[which]
        if (amount !== undefined) picture.map((image) => changes[which]!(image, amount))
      }
    },
  }
}

function rangeOf(name: string, value: JitterRange, centre: number, [least, most]: readonly [number, number]) {
  if (typeof value === 'number') {
    checkRange('colorJitter', name, value, 0, centre === 0 ? most : Number.MAX_VALUE)
    return value === 0 ? undefined : ([Math.max(least, centre - value), centre + value] as const)
  }
  if (value.length === 2 && value[0] >= least && value[0] <= value[1] && value[1] <= most) return value
  throw new ConfigError(
    `colorJitter: ${name} is a number, or [low, high] from ${least}; got ${JSON.stringify(value)}`,
  )
}

// Bytes are cut off as Pillow does it: towards zero, then to 0 … 255.
const toByte = (value: number) => (value <= 0 ? 0 : value >= 255 ? 255 : Math.trunc(value))

/** Pillow's grey: ITU-R 601 in fixed point. */
const grey = (red: number, green: number, blue: number) =>
  (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16

/** Factor 0 is black, 1 the picture itself; Pillow's `ImageEnhance.Brightness`. */
export function changeBrightness({ data, width, height }: RgbImage, factor: number): RgbImage {
  return { data: data.map((value) => toByte(value * factor)), width, height }
}

/** Factor 0 is the mean grey, 1 the picture itself; Pillow's `ImageEnhance.Contrast`. */
export function changeContrast({ data, width, height }: RgbImage, factor: number): RgbImage {
  let sum = 0
  for (let at = 0; at < data.length; at += 3) sum += grey(data[at]!, data[at + 1]!, data[at + 2]!)
  const mean = Math.trunc(sum / (width * height) + 0.5)
  return { data: data.map((value) => toByte(mean + factor * (value - mean))), width, height }
}

/** Factor 0 is the grey picture, 1 the picture itself; Pillow's `ImageEnhance.Color`. */
export function changeSaturation({ data, width, height }: RgbImage, factor: number): RgbImage {
  const changed = new Uint8Array(data.length)
  for (let at = 0; at < data.length; at += 3) {
    const none = grey(data[at]!, data[at + 1]!, data[at + 2]!)
    for (let channel = at; channel < at + 3; channel++)
      changed[channel] = toByte(none + factor * (data[channel]! - none))
  }
  return { data: changed, width, height }
}

/** Turns the colour circle by a part of it, from −0.5 to 0.5, through HSV. */
export function changeHue({ data, width, height }: RgbImage, turn: number): RgbImage {
  const changed = new Uint8Array(data.length)
  for (let at = 0; at < data.length; at += 3) {
    const [red, green, blue] = [data[at]!, data[at + 1]!, data[at + 2]!]
    const high = Math.max(red, green, blue)
    const span = high - Math.min(red, green, blue)
    if (span === 0) {
      changed.fill(high, at, at + 3)
      continue
    }
    const sixth =
      high === red
        ? (green - blue) / span
        : high === green
          ? 2 + (blue - red) / span
          : 4 + (red - green) / span
    const hue = (((sixth + 6 * turn) % 6) + 6) % 6
    for (const [channel, offset] of [5, 3, 1].entries()) {
      const place = (offset + hue) % 6
      changed[at + channel] = Math.round(high - span * Math.max(0, Math.min(place, 4 - place, 1)))
    }
  }
  return { data: changed, width, height }
}
