/** Bits a value of a picture in printing inks: cyan, magenta, yellow, black. */
export type InkDepth = 8 | 16

/** a · b / 255, rounded, as Pillow does it without a division. */
function multiply(a: number, b: number): number {
  const product = a * b + 128
  return ((product >> 8) + product) >> 8
}

/**
 * Cyan, magenta, yellow and black, 0 for no ink, as RGB bytes by Pillow's formula, which knows no press. Of 16-bit values the upper
 * halves count; what is transparent is laid on white.
 *
 * @param data `count * channels` values; a fifth channel is the opacity
 */
export function inksToRgb(data: Uint8Array | Uint16Array, channels: number): Uint8Array {
  const shift = data instanceof Uint16Array ? 8 : 0
  const count = data.length / channels
  const rgb = new Uint8Array(count * 3)
  for (let pixel = 0; pixel < count; pixel++) {
    const from = pixel * channels
    const light = 255 - (data[from + 3]! >> shift)
    const opacity = channels > 4 ? data[from + 4]! >> shift : 255
    for (let ink = 0; ink < 3; ink++) {
      const value = Math.max(0, light - multiply(data[from + ink]! >> shift, light))
      rgb[pixel * 3 + ink] = 255 - multiply(255 - value, opacity)
    }
  }
  return rgb
}
