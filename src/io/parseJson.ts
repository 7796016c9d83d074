/** Lists in lists that the header of any file here has. */
const MAX_DEPTH = 128

/** Names and values; a tensor takes about ten. */
const MAX_VALUES = 1_000_000

/**
 * JSON.parse for text from a file, whose lists in lists and short values would take a hundred times the memory of the text.
 * @param values names and values that may be in it
 * @throws SyntaxError for what is no JSON, RangeError for what is nested deeper or holds more than any header
 */
export function parseJson(text: string, values = MAX_VALUES): unknown {
  let depth = 0
  let count = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x22) {
      at = endOfString(text, at)
      continue
    }
    const opens = code === 0x7b || code === 0x5b
    if (opens && ++depth > MAX_DEPTH) throw new RangeError(`it is nested more than ${MAX_DEPTH} deep`)
    if (code === 0x7d || code === 0x5d) depth--
    if ((opens || code === 0x2c || code === 0x3a) && ++count > values) {
      throw new RangeError(`it holds more than ${values} values`)
    }
  }
  return JSON.parse(text)
}

/** Where the string that begins at `start` ends; the end of the text, if it does not. */
function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0
    while (text.charCodeAt(at - 1 - slashes) === 0x5c) slashes++
    if (slashes % 2 === 0) return at
  }
  return text.length
}
