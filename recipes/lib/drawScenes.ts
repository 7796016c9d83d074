import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { RandomStream } from '../../src/data/random.ts'
import { outlines, shapeNames } from './drawShapes.ts'

export interface DrawScenesOptions {
  /** Number of pictures. */
  count: number
  /** Side of a picture in pixels. */
  size: number
  /** The same seed draws the same pictures. */
  seed: number
}

/**
 * Draws pictures that show one to four shapes each, `folder/pictures/0000.jpg`, and for each a mask, `folder/masks/0000.png`: a grey
 * picture with 0 for the ground and 1 + the place in `shapeNames` for a shape. `folder/labels.csv` names the shapes of each.
 */
export async function drawScenes(folder: string, { count, size, seed }: DrawScenesOptions): Promise<void> {
  for (const part of ['pictures', 'masks']) await mkdir(join(folder, part), { recursive: true })
  const lines = ['name,labels']
  for (let index = 0; index < count; index++) {
    // A stream of numbers for each picture, so that it does not depend on how many others are drawn.
    const labels = await drawScene(folder, index, size, new RandomStream({ seed, index }))
    lines.push(`${nameOf(index)}.jpg,${labels.join(' ')}`)
  }
  await writeFile(join(folder, 'labels.csv'), `${lines.join('\n')}\n`)
}

/** Name of a picture's files, without their ending. */
export const nameOf = (index: number) => String(index).padStart(4, '0')

/** One shape or none in each quarter of the picture, so that none hides another. */
async function drawScene(
  folder: string,
  index: number,
  size: number,
  random: RandomStream,
): Promise<string[]> {
  const color = (lightness: number) =>
    `hsl(${random.uniform(0, 360)},${random.uniform(30, 90)}%,${lightness}%)`
  const certain = random.integer(4)
  const present = new Set<number>()
  const shapes: { label: number; transform: string; fill: string }[] = []
  for (let quarter = 0; quarter < 4; quarter++) {
    const [shown, label] = [random.chance(0.45), random.integer(shapeNames.length)]
    const radius = random.uniform(0.15, 0.23) * size
    const x = (0.25 + 0.5 * (quarter % 2)) * size + random.uniform(-0.03, 0.03) * size
    const y = (0.25 + 0.5 * Math.floor(quarter / 2)) * size + random.uniform(-0.03, 0.03) * size
    const transform = `translate(${x},${y}) rotate(${random.uniform(-25, 25)}) scale(${radius})`
    const fill = color(random.uniform(58, 90))
    if (!shown && quarter !== certain) continue
    present.add(label)
    shapes.push({ label, transform, fill })
  }
  const svg = (body: string) =>
    Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}">${body}</svg>`)
  const drawn = (fillOf: (shape: (typeof shapes)[number]) => string) =>
    shapes
      .map((shape) => {
        const outline = outlines[shapeNames[shape.label]!]
        return `<g transform="${shape.transform}" fill="${fillOf(shape)}">${outline}</g>`
      })
      .join('')
  const ground = `<rect width="100%" height="100%" fill="${color(random.uniform(10, 38))}"/>`
  await sharp(svg(ground + drawn(({ fill }) => fill)))
    .removeAlpha()
    .jpeg({ quality: 92 })
    .toFile(join(folder, 'pictures', `${nameOf(index)}.jpg`))
  // Without smoothing: between class 0 and class 4 there is no class 2.
  const grey = ({ label }: { label: number }) => `rgb(${label + 1},${label + 1},${label + 1})`
  await sharp(svg(`<g shape-rendering="crispEdges"><rect width="100%" height="100%"/>${drawn(grey)}</g>`))
    .removeAlpha()
    .toColourspace('b-w')
    .png()
    .toFile(join(folder, 'masks', `${nameOf(index)}.png`))
  return [...present].sort((a, b) => a - b).map((label) => shapeNames[label]!)
}
