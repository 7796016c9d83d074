import { boldness, textWidth } from './textWidth.ts'

/**
 * Breaks a text into lines of at most `width` pixels at `fontSize` pixels: between words, and where the text has line
 * breaks; a word that is too long by itself is broken where it must. Nothing for an empty text.
 */
export function wrap(text: string, width: number, fontSize: number): string[] {
  if (text === '') return []
  const fits = (part: string) => textWidth(part, fontSize) <= width
  const lines: string[] = []
  for (const paragraph of text.split('\n')) {
    let line = ''
    for (const word of paragraph.split(' ')) {
      const longer = line === '' ? word : `${line} ${word}`
      if (fits(longer) || line === '') line = longer
      else {
        lines.push(line)
        line = word
      }
      // By characters, not by their UTF-16 halves.
      for (let rest = Array.from(line); !fits(line) && rest.length > 1; rest = Array.from(line)) {
        let cut = 1
        while (fits(rest.slice(0, cut + 1).join(''))) cut++
        lines.push(rest.slice(0, cut).join(''))
        line = rest.slice(cut).join('')
      }
    }
    lines.push(line)
  }
  return lines
}

/** A text as vega-lite takes it: as it is where it fits the width, else its lines. */
export function wrapped(text: string, width: number, fontSize: number): string | string[] {
  const lines = wrap(text, width, fontSize)
  return lines.length > 1 ? lines : text
}

/** A text that is at most `width` pixels wide, its end cut off for an ellipsis where it would be wider. */
export function shortened(text: string, width: number, fontSize: number): string {
  if (textWidth(text, fontSize) <= width) return text
  const room = width - textWidth('…', fontSize)
  let kept = ''
  for (const char of text) {
    if (textWidth(kept + char, fontSize) > room) break
    kept += char
  }
  return `${kept.trimEnd()}…`
}

/** A list of texts in vega's expression language, which ends a text at line separators where JSON does not. */
export const expression = (texts: readonly string[]) =>
  JSON.stringify(texts).replace(/[\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`)

/** Size by which to measure headings: they are larger than other text, and bold. */
export const headingSize = 16 * boldness
