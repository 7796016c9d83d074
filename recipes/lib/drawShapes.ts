import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'

/** What there is to tell apart. Outlines are drawn around the origin, about one unit across from centre to rim. */
export const outlines: Record<string, string> = {
  circle: '<circle r="0.9"/>',
  cross: '<path d="M-.3-.95H.3V-.3H.95V.3H.3V.95H-.3V.3H-.95V-.3H-.3Z"/>',
  heart: '<path d="M0 .95C-1.5-.1-.95-1-.45-.9C-.2-.85 0-.65 0-.4C0-.65.2-.85.45-.9C.95-1 1.5-.1 0 .95Z"/>',
  square: '<rect x="-.78" y="-.78" width="1.56" height="1.56"/>',
  star: `<polygon points="${spokes(10, (i) => (i % 2 ? 0.4 : 1))}"/>`,
  triangle: `<polygon points="${spokes(3, () => 1)}"/>`,
}

/** The classes, in the order that `ImageDataBunch` gives them. */
export const shapeNames = Object.keys(outlines).sort()

export interface DrawShapesOptions {
  /** Pictures of each class for training. */
  train: number
  /** Pictures of each class held out. */
  valid: number
  /** Side of a picture in pixels. */
  size: number
  /** The same seed draws the same pictures. */
  seed: number
}

/**
 * Draws pictures of six shapes into `folder/train/<class>` and `folder/valid/<class>`: each with its own colours, size,
 * place, rotation, stray lines and noise.
 */
export async function drawShapes(folder: string, options: DrawShapesOptions): Promise<void> {
  const jobs: (() => Promise<unknown>)[] = []
  for (const [split, part] of (['train', 'valid'] as const).entries()) {
    for (const [label, name] of shapeNames.entries()) {
      await mkdir(join(folder, part, name), { recursive: true })
      for (let i = 0; i < options[part]; i++) {
        const file = join(folder, part, name, `${String(i).padStart(4, '0')}.jpg`)
        // A stream of numbers for each picture, so that it does not depend on how many others are drawn.
        const random = randomStream(options.seed, split, label, i)
        jobs.push(() => drawShape(name, options.size, random, file))
      }
    }
  }
  // sharp works in threads of its own; some in flight keep them busy.
  const next = async () => {
    for (let job = jobs.pop(); job; job = jobs.pop()) await job()
  }
  await Promise.all(Array.from({ length: 8 }, next))
}

async function drawShape(name: string, size: number, random: () => number, file: string): Promise<void> {
  const between = (low: number, high: number) => low + (high - low) * random()
  const color = (lightness: number) => `hsl(${between(0, 360)},${between(30, 90)}%,${lightness}%)`
  // Light on dark: colours vary freely, and the outline can still be seen.
  const [ground, shape] = [between(10, 38), between(58, 90)]
  const radius = between(0.28, 0.44) * size
  const [x, y] = [between(radius, size - radius), between(radius, size - radius)]
  const lines = Array.from({ length: Math.floor(between(0, 3)) }, () => {
    const ends = Array.from({ length: 4 }, () => between(0, size).toFixed(1))
    return `<path d="M${ends[0]} ${ends[1]}L${ends[2]} ${ends[3]}" stroke="${color(between(20, 80))}" stroke-width="${between(0.5, 2) * (size / 64)}"/>`
  })
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}">
    <defs><linearGradient id="g" gradientTransform="rotate(${between(0, 90)})">
      <stop stop-color="${color(ground)}"/><stop offset="1" stop-color="${color(ground)}"/></linearGradient></defs>
    <rect width="100%" height="100%" fill="url(#g)"/>${lines.join('')}
    <g transform="translate(${x},${y}) rotate(${between(-25, 25)}) scale(${radius},${radius * between(0.85, 1)})" fill="${color(shape)}">${outlines[name]}</g>
  </svg>`
  const { data, info } = await sharp(Buffer.from(svg))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  const strength = between(4, 20)
  for (let i = 0; i < data.length; i++) {
    // Three uniform numbers make a bell. Bytes do not wrap round, so clip.
    const noise = (random() + random() + random() - 1.5) * strength
    data[i] = Math.max(0, Math.min(255, Math.round(data[i]! + noise)))
  }
  await sharp(data, { raw: info }).jpeg({ quality: 92 }).toFile(file)
}

/** Corners of a star or polygon: `n` directions, each as far out as `radius` says. */
function spokes(n: number, radius: (i: number) => number): string {
  return Array.from({ length: n }, (_, i) => {
    const angle = (2 * Math.PI * i) / n
    return `${(radius(i) * Math.sin(angle)).toFixed(3)},${(-radius(i) * Math.cos(angle)).toFixed(3)}`
  }).join(' ')
}

/** Numbers in [0, 1) that the keys fix: mulberry32, started from a hash of them. */
function randomStream(...keys: number[]): () => number {
  let state = 0x9e3779b9
  for (const key of keys) state = Math.imul(state ^ key, 0x85ebca6b) + 0xc2b2ae35 + (state >>> 13)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
