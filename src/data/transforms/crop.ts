import { ConfigError, DataError } from '../../engine/errors.ts'
import { type Padding, type PaddingMode, paddingModes } from '../image/bytes.ts'
import type { Picture } from '../image/Picture.ts'
import { checkChoice, checkRange, rejectUnknownOptions } from '../options.ts'
import { markKnown } from './known.ts'
import { roundHalfEven, sizePair } from './size.ts'
import type { PictureTransform, Size } from './Transform.ts'

export type Colour = readonly [red: number, green: number, blue: number]

/** Cuts the middle out; a smaller picture gets a black border first. torchvision's `CenterCrop`. */
export function centerCrop(size: Size): PictureTransform {
  const [height, width] = sizePair('centerCrop', size)
  return markKnown({
    kind: 'picture',
    name: 'centerCrop',
    parameters: { size },
    deterministic: true,
    outputSize: [height, width],
    apply: (picture) => {
      const missingX = Math.max(0, width - picture.width)
      const missingY = Math.max(0, height - picture.height)
      if (missingX > 0 || missingY > 0) {
        const left = Math.floor(missingX / 2)
        const top = Math.floor(missingY / 2)
        picture.pad({ left, top, right: missingX - left, bottom: missingY - top })
      }
      const left = roundHalfEven((picture.width - width) / 2)
      const top = roundHalfEven((picture.height - height) / 2)
      picture.crop(left, top, width, height)
    },
  })
}

/** One number for all sides, [left and right, top and bottom], or [left, top, right, bottom]. The order is torchvision's. */
export type Borders = number | readonly [number, number] | readonly [number, number, number, number]

export interface PadOptions {
  /** Default 'constant'. */
  paddingMode?: PaddingMode
  /** Colour of the mode 'constant', 0 to 255 each; one number for a grey. Default 0. */
  fill?: number | Colour
}

/** Adds a border; torchvision's `Pad`. */
export function pad(padding: Borders, options: PadOptions = {}): PictureTransform {
  rejectUnknownOptions('pad', options, ['paddingMode', 'fill'])
  const { paddingMode = 'constant', fill = 0 } = options
  const sides = borders('pad', padding)
  const colour = colourOf('pad', fill)
  checkChoice('pad', 'paddingMode', paddingMode, paddingModes)
  return markKnown({
    kind: 'picture',
    name: 'pad',
    parameters: { padding, paddingMode, fill },
    deterministic: true,
    apply: (picture) => {
      checkReflection('pad', picture, sides, paddingMode)
      picture.pad(sides, paddingMode, colour)
    },
  })
}

export interface RandomCropOptions extends PadOptions {
  /** Border added first. Default none. */
  padding?: Borders
  /** Also pad a picture that is still too small, on both sides. Default false: that is an error. */
  padIfNeeded?: boolean
}

/** Cuts a window out at a random place; torchvision's `RandomCrop`. */
export function randomCrop(size: Size, options: RandomCropOptions = {}): PictureTransform {
  rejectUnknownOptions('randomCrop', options, ['padding', 'padIfNeeded', 'paddingMode', 'fill'])
  const { padding = 0, padIfNeeded = false, paddingMode = 'constant', fill = 0 } = options
  const [height, width] = sizePair('randomCrop', size)
  const border = pad(padding, { paddingMode, fill })
  const hasBorder = Object.values(borders('randomCrop', padding)).some((count) => count > 0)
  return {
    kind: 'picture',
    name: 'randomCrop',
    parameters: { size, padding, padIfNeeded, paddingMode, fill },
    outputSize: [height, width],
    apply: (picture, random) => {
      if (hasBorder) border.apply(picture, random)
      if (padIfNeeded) {
        const x = Math.max(0, width - picture.width)
        const y = Math.max(0, height - picture.height)
        if (x > 0 || y > 0) pad([x, y], { paddingMode, fill }).apply(picture, random)
      }
      if (picture.width < width || picture.height < height) {
        throw new DataError(
          `randomCrop: a picture of ${picture.width}x${picture.height} is too small for a window of ${width}x${height}: resize it first, or pass padIfNeeded: true`,
        )
      }
      const top = random.integer(picture.height - height + 1)
      const left = random.integer(picture.width - width + 1)
      picture.crop(left, top, width, height)
    },
  }
}

export interface CropPadOptions {
  /** What lies outside, where the picture is smaller. Default 'reflect'. */
  paddingMode?: PaddingMode
  /** Where the window lies between top (0) and bottom (1), or the range to draw it from. Default 0.5. */
  row?: number | readonly [low: number, high: number]
  /** Where the window lies between left (0) and right (1), or the range to draw it from. Default 0.5. */
  column?: number | readonly [low: number, high: number]
}

/**
 * Cuts out a window of `size`, padding a smaller picture around its middle, mirrored again and again if need be; fastai's `crop_pad`, and with
 * `{ row: [0, 1], column: [0, 1] }` its `rand_crop`. Without a size it takes the data's `size` option, or does nothing.
 */
export function cropPad(size?: Size, options: CropPadOptions = {}): PictureTransform {
  rejectUnknownOptions('cropPad', options, ['paddingMode', 'row', 'column'])
  const { paddingMode = 'reflect', row = 0.5, column = 0.5 } = options
  const target = size === undefined ? undefined : sizePair('cropPad', size)
  const [rowLow, rowHigh] = fraction('row', row)
  const [columnLow, columnHigh] = fraction('column', column)
  checkChoice('cropPad', 'paddingMode', paddingMode, paddingModes)
  return markKnown({
    kind: 'picture',
    name: 'cropPad',
    parameters: { size, paddingMode, row, column },
    deterministic: !target || (rowLow === rowHigh && columnLow === columnHigh),
    outputSize: target,
    withSize: (given) => cropPad(size ?? given, options),
    apply: (picture, random) => {
      if (!target) return
      const [height, width] = target
      const x = Math.max(0, width - picture.width)
      const y = Math.max(0, height - picture.height)
      if (x > 0 || y > 0) {
        const left = Math.floor(x / 2)
        const top = Math.floor(y / 2)
        const sides = { left, top, right: x - left, bottom: y - top }
        picture.pad(sides, paddingMode)
      }
      const place = (spare: number, low: number, high: number) => {
        const at = low === high ? low : random.uniform(low, high)
        return Math.min(spare, Math.trunc((spare + 1) * at))
      }
      const top = place(picture.height - height, rowLow, rowHigh)
      const left = place(picture.width - width, columnLow, columnHigh)
      picture.crop(left, top, width, height)
    },
  })
}

function fraction(name: string, value: number | readonly [number, number]): readonly [number, number] {
  const [low, high] = typeof value === 'number' ? [value, value] : value
  checkRange('cropPad', name, low, 0, 1)
  checkRange('cropPad', name, high, low, 1)
  return [low, high]
}

function borders(owner: string, padding: Borders): Padding {
  const list = typeof padding === 'number' ? [padding] : padding
  const [left = Number.NaN, top = left, right = left, bottom = top] = list
  const sides = { left, top, right, bottom }
  if (
    ![1, 2, 4].includes(list.length) ||
    Object.values(sides).some((count) => !Number.isInteger(count) || count < 0)
  ) {
    throw new ConfigError(
      `${owner}: padding is one whole number, [left and right, top and bottom] or [left, top, right, bottom]; got ${JSON.stringify(padding)}`,
    )
  }
  return sides
}

function colourOf(owner: string, fill: number | Colour): Colour {
  const colour: Colour = typeof fill === 'number' ? [fill, fill, fill] : fill
  if (colour.length === 3 && colour.every((value) => Number.isInteger(value) && value >= 0 && value <= 255))
    return colour
  throw new ConfigError(
    `${owner}: fill is a whole number from 0 to 255, or three; got ${JSON.stringify(fill)}`,
  )
}

/** Mirroring once can only show what is there: PyTorch refuses a wider border too. */
function checkReflection(owner: string, picture: Picture, sides: Padding, mode: PaddingMode): void {
  const spare = mode === 'reflect' ? 1 : 0
  if (mode !== 'reflect' && mode !== 'symmetric') return
  if (
    Math.max(sides.left, sides.right) <= picture.width - spare &&
    Math.max(sides.top, sides.bottom) <= picture.height - spare
  ) {
    return
  }
  throw new DataError(
    `${owner}: a picture of ${picture.width}x${picture.height} is too small to be padded by ${JSON.stringify(sides)} in the mode '${mode}': resize it first, or use the mode 'edge'`,
  )
}
