import type { TopLevelSpec } from 'vega-lite'
import { ConfigError, ShapeError } from '../engine/errors.ts'
import { encodePng } from './encodePng.ts'
import { Figure } from './Figure.ts'
import { ink, theme } from './theme.ts'
import { headingSize, wrap } from './wrap.ts'

/** A picture of a grid. */
export interface GridImage {
  /** Interleaved RGB bytes, `height * width * 3` of them. */
  data: Uint8Array | Uint8ClampedArray
  width: number
  height: number
  /** Stands above the picture; may have several lines. */
  title?: string
  /** Default dark grey. */
  titleColor?: string
}

/** Options of `imageGrid`. */
export interface ImageGridOptions {
  /** Pictures a row. Default: as near to a square as can be. */
  columns?: number
  /** Stands above the grid. */
  title?: string
  /** Longer side of a picture on the page, in pixels. Default: the largest picture's own, but at least 112 and at most 224. */
  cellSize?: number
}

const gap = 10
const titleSize = 12
const lineHeight = 16

/**
 * Pictures in rows, each with an optional title. Pictures that are smaller than their cell are enlarged without smoothing,
 * so that their pixels can be seen; those that are much larger are embedded at twice the cell's size.
 * @throws ShapeError if a picture's bytes do not match its size; ConfigError for no pictures or an impossible `columns`.
 */
export function imageGrid(images: readonly GridImage[], options: ImageGridOptions = {}): Figure {
  check(images, options)
  const columns = Math.min(images.length, options.columns ?? Math.ceil(Math.sqrt(images.length)))
  const largest = images.reduce((max, image) => Math.max(max, image.width, image.height), 1)
  const cell = options.cellSize ?? Math.max(112, Math.min(224, largest))
  const fit = images.map((image) => cell / Math.max(image.width, image.height))
  const width = images.reduce((max, image, i) => Math.max(max, image.width * fit[i]!), 1)
  const height = images.reduce((max, image, i) => Math.max(max, image.height * fit[i]!), 1)
  const titles = images.map((image) => wrap(image.title ?? '', width, titleSize))
  const titleHeight = titles.reduce((max, lines) => Math.max(max, lines.length), 0) * lineHeight
  const stepX = width + gap
  const stepY = height + gap + titleHeight
  const rows = Math.ceil(images.length / columns)

  const values = images.map((image, i) => {
    const left = (i % columns) * stepX
    const top = Math.floor(i / columns) * stepY
    return {
      url: `data:image/png;base64,${embedded(image, fit[i]!).toString('base64')}`,
      left: left + (width - image.width * fit[i]!) / 2,
      top: top + titleHeight + (height - image.height * fit[i]!) / 2,
      middle: left + width / 2,
      title: titles[i]!.join('\n'),
      titleTop: top,
      titleColor: image.titleColor ?? ink.strong,
      w: image.width * fit[i]!,
      h: image.height * fit[i]!,
    }
  })
  const place = (field: string) => ({ field, type: 'quantitative' as const, scale: null, axis: null })
  return new Figure({
    ...(options.title !== undefined && { title: wrap(options.title, columns * stepX - gap, headingSize) }),
    width: columns * stepX - gap,
    height: rows * stepY - gap,
    data: { values },
    layer: [
      {
        mark: {
          type: 'image',
          align: 'left',
          baseline: 'top',
          aria: false,
          width: { expr: 'datum.w' },
          height: { expr: 'datum.h' },
        },
        encoding: { x: place('left'), y: place('top'), url: { field: 'url', type: 'nominal' } },
      },
      ...(titleHeight > 0
        ? [
            {
              mark: {
                type: 'text' as const,
                baseline: 'top' as const,
                fontSize: titleSize,
                lineHeight,
                lineBreak: '\n',
              },
              encoding: {
                x: place('middle'),
                y: place('titleTop'),
                text: { field: 'title', type: 'nominal' as const },
                color: { field: 'titleColor', type: 'nominal' as const, scale: null },
              },
            },
          ]
        : []),
    ],
    config: theme,
  } satisfies TopLevelSpec)
}

function check(images: readonly GridImage[], { columns, cellSize }: ImageGridOptions): void {
  if (images.length === 0) throw new ConfigError('an image grid needs at least one picture, got none')
  if (columns !== undefined && !(Number.isInteger(columns) && columns > 0)) {
    throw new ConfigError(`columns must be a whole number above 0, got ${columns}`)
  }
  if (cellSize !== undefined && !(cellSize > 0))
    throw new ConfigError(`cellSize must be above 0 pixels, got ${cellSize}`)
  images.forEach(({ data, width, height }, i) => {
    if (!(width > 0 && height > 0) || data.length !== width * height * 3) {
      throw new ShapeError(
        `picture ${i} of the grid has ${data.length} bytes; ${width} by ${height} pixels of RGB are ${width * height * 3}`,
      )
    }
  })
}

/** Twice as many pixels as on the page, for today's screens. */
const sharpness = 2

/** A picture as PNG, to be drawn at `fit` times its size. */
function embedded(image: GridImage, fit: number): Buffer {
  const scale = fit * sharpness
  return scale <= 0.5 ? shrink(image, scale) : enlarge(image, Math.floor(scale))
}

/**
 * Each pixel the mean of those that it stands for, as PNG: whole photos in a document take minutes to draw. The scale is at
 * most a half, so that each stands for some.
 */
function shrink({ data, width, height }: GridImage, scale: number): Buffer {
  const [columns, rows] = [width, height].map((side) => Math.max(1, Math.round(side * scale))) as [
    number,
    number,
  ]
  const small = new Uint8Array(columns * rows * 3)
  const edge = (i: number, side: number, count: number) => Math.floor((i * side) / count)
  for (let row = 0; row < rows; row++) {
    const [top, bottom] = [edge(row, height, rows), edge(row + 1, height, rows)]
    for (let column = 0; column < columns; column++) {
      const [left, right] = [edge(column, width, columns), edge(column + 1, width, columns)]
      const sums = [0, 0, 0] as [number, number, number]
      for (let y = top; y < bottom; y++) {
        for (let at = (y * width + left) * 3; at < (y * width + right) * 3; at += 3) {
          sums[0] += data[at]!
          sums[1] += data[at + 1]!
          sums[2] += data[at + 2]!
        }
      }
      const pixels = (bottom - top) * (right - left)
      small.set(
        sums.map((sum) => Math.round(sum / pixels)),
        (row * columns + column) * 3,
      )
    }
  }
  return encodePng(small, columns, rows)
}

/** Each pixel `times` by `times`, as PNG. Viewers smooth what they enlarge, so the pixels are repeated beforehand. */
function enlarge({ data, width, height }: GridImage, times: number): Buffer {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  if (times < 2) return encodePng(bytes, width, height)
  const stride = width * times * 3
  const large = new Uint8Array(stride * height * times)
  for (let y = 0; y < height; y++) {
    const top = y * times * stride
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * 3
      for (let i = 0; i < times; i++) large.set(bytes.subarray(from, from + 3), top + (x * times + i) * 3)
    }
    for (let i = 1; i < times; i++) large.copyWithin(top + i * stride, top, top + stride)
  }
  return encodePng(large, width * times, height * times)
}
