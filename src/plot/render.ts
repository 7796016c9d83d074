import type { Sharp, SharpInput, SharpOptions } from 'sharp'
import type { TopLevelSpec } from 'vega-lite'
import { boldness, textWidth } from './textWidth.ts'

/** Compiles a vega-lite spec and draws it as an SVG document. Vega is loaded at the first call. */
export async function renderSvg(spec: TopLevelSpec): Promise<string> {
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')])
  const { textMetrics } = vega as unknown as { textMetrics: TextMetrics }
  // Without a canvas vega counts 0.8 em for every character, which leaves wide holes beside labels.
  if (textMetrics.width === textMetrics.estimateWidth) {
    textMetrics.width = (item, text) =>
      textWidth(String(text ?? ''), textMetrics.height(item)) * (isBold(item.fontWeight) ? boldness : 1)
  }
  const compiled = vegaLite.compile(spec).spec
  const view = new vega.View(vega.parse(compiled), { renderer: 'none', logLevel: vega.Warn })
  try {
    // XML has no way to write these characters, and those who read it refuse the whole document.
    return (await view.toSVG()).replace(
      /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu,
      '\ufffd',
    )
  } finally {
    view.finalize()
  }
}

const isBold = (weight: unknown) => weight === 'bold' || Number(weight) >= 600

/** How vega measures text: exported for replacement, but missing in its declarations. */
interface TextMetrics {
  width(item: { fontWeight?: unknown }, text: unknown): number
  estimateWidth(item: object, text: unknown): number
  height(item: object): number
}

/** Draws an SVG document as PNG; `scale` is the number of pixels a CSS pixel becomes along each side. */
export async function rasterise(svg: string, scale: number): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp')
  await warnWithoutFonts(sharp)
  // `unlimited`: embedded pictures exceed the XML reader's default limit for one attribute.
  return sharp(Buffer.from(svg), { density: 72 * scale, unlimited: true, limitInputPixels: false })
    .flatten({ background: 'white' })
    .png({ compressionLevel: 9 })
    .toBuffer()
}

let fontsChecked: Promise<void> | undefined

/** Slim containers have no font at all, and text then silently disappears: say so, once. */
function warnWithoutFonts(sharp: (input: SharpInput, options?: SharpOptions) => Sharp): Promise<void> {
  fontsChecked ??= (async () => {
    const probe =
      '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><text x="2" y="15" font-size="14" font-family="sans-serif">Ab</text></svg>'
    const { channels } = await sharp(Buffer.from(probe)).stats()
    if ((channels[3]?.max ?? 255) === 0) {
      process.emitWarning(
        'No font was found, so figures saved as PNG have no text. Install one, for example: apt-get install fonts-dejavu-core',
        { code: 'ANNEAL_NO_FONTS' },
      )
    }
  })()
  return fontsChecked
}
