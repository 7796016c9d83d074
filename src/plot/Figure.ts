import { extname } from 'node:path'
import type { TopLevelSpec } from 'vega-lite'
import { ConfigError } from '../engine/errors.ts'
import { writeFileAtomic } from '../io/atomicFile.ts'
import { rasterise, renderSvg } from './render.ts'

/** Options of `Figure.save` and `Figure.toPng`. */
export interface FigureRenderOptions {
  /** Pixels a CSS pixel becomes along each side of a PNG. Default 2, which is crisp on today's screens. */
  scale?: number
}

/** Longest side of a PNG that the drawing library makes. */
const mostPixels = 32767

/**
 * A figure: a vega-lite spec that saves itself as PNG, SVG or HTML. Nothing is drawn, and vega is not loaded, before
 * one of its methods is called. The spec is plain JSON, so it also serves in a notebook or a page that has vega-lite.
 *
 * @example await learner.recorder.plotLosses().save('losses.png')
 */
export class Figure {
  /**
   * The vega-lite spec. Its type says no more, because vega-lite's own declarations ask for those of a browser, which the
   * compiler of a Node program does not have.
   */
  readonly spec: object

  constructor(spec: object) {
    this.spec = spec
  }

  /** The figure as an SVG document. */
  toSvg(): Promise<string> {
    return renderSvg(this.spec as TopLevelSpec)
  }

  /**
   * The figure as the bytes of a PNG file.
   * @throws ConfigError if `scale` is not a positive number, or makes the picture more than 32767 pixels wide or high.
   */
  async toPng({ scale = 2 }: FigureRenderOptions = {}): Promise<Uint8Array> {
    if (!(scale > 0 && scale <= 20)) {
      throw new ConfigError(`scale must be a number above 0 and at most 20, got ${scale}`)
    }
    const svg = await this.toSvg()
    const [width, height] = ['width', 'height'].map((side) =>
      Number(svg.match(`<svg[^>]* ${side}="([^"]+)"`)?.[1]),
    )
    const longest = Math.max(width!, height!)
    if (longest * scale > mostPixels) {
      throw new ConfigError(
        `the figure is ${width} by ${height} pixels, too large for a PNG ${scale} times as large: give a scale of at most ${Math.floor((100 * mostPixels) / longest) / 100}, or save it as .svg`,
      )
    }
    return rasterise(svg, scale)
  }

  /** The figure as one HTML page that needs neither network nor script: the SVG stands in it. */
  async toHtml(): Promise<string> {
    const svg = await this.toSvg()
    const style =
      'body{margin:0;display:grid;place-items:center;min-height:100vh;background:#fff}svg{max-width:100%;height:auto}'
    return `<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>${escapeHtml(this.#title())}</title><style>${style}</style></head>\n<body>${svg}</body>\n</html>\n`
  }

  /**
   * Writes the figure to a file, in the format that its extension names: `.png`, `.svg` or `.html`. The folder is made when
   * missing; the file appears whole or not at all.
   * @returns the path, as given.
   * @throws ConfigError for another extension, or when the file cannot be written.
   */
  async save(path: string, options: FigureRenderOptions = {}): Promise<string> {
    const bytes = await this.#encode(path, options)
    await writeFileAtomic(path, bytes, { error: ConfigError })
    return path
  }

  #encode(path: string, options: FigureRenderOptions): Promise<string | Uint8Array> {
    const extension = extname(path).toLowerCase()
    switch (extension) {
      case '.png':
        return this.toPng(options)
      case '.svg':
        return this.toSvg()
      case '.html':
        return this.toHtml()
      default:
        throw new ConfigError(
          `cannot save a figure as '${path}': ${extension ? `the extension '${extension}' is unknown` : 'the name has no extension'}. Use .png, .svg or .html`,
        )
    }
  }

  #title(): string {
    const { title } = this.spec as TopLevelSpec
    const text = typeof title === 'object' && title !== null && 'text' in title ? title.text : title
    if (Array.isArray(text)) return text.join(' ')
    return typeof text === 'string' ? text : 'Figure'
  }
}

const escapeHtml = (text: string) =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!)
