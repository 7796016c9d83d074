import { ConfigError } from '../../engine/errors.ts'

/**
 * Endings of the files that are taken for pictures unless `extensions` says otherwise: what sharp decodes on every platform.
 * GIF is among them (the first frame counts), as in fastai; torchvision's `ImageFolder` leaves GIF out, and so does
 * `extensions: torchvisionExtensions`.
 */
export const imageExtensions: readonly string[] = [
  '.jpg',
  '.jpeg',
  '.jfif',
  '.png',
  '.webp',
  '.gif',
  '.tif',
  '.tiff',
  '.avif',
]

/** Those of torchvision's `ImageFolder` that can be decoded here; it also knows .bmp, .ppm and .pgm. */
export const torchvisionExtensions: readonly string[] = ['.jpg', '.jpeg', '.png', '.webp', '.tif', '.tiff']

/** Lower-case endings with their dot. @throws ConfigError for an empty list. */
export function extensionSet(extensions: readonly string[]): ReadonlySet<string> {
  if (!Array.isArray(extensions) || extensions.length === 0) {
    throw new ConfigError(`extensions is a list such as ['.jpg', '.png'], got ${JSON.stringify(extensions)}`)
  }
  return new Set(extensions.map((name) => (name.startsWith('.') ? name : `.${name}`).toLowerCase()))
}
