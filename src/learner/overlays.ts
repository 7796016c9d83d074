import type { PictureOverlay } from '../data/showImages.ts'
import { interpolate, noGrad, type Tensor } from '../engine/index.ts'

type Color = readonly [red: number, green: number, blue: number]

/** From cold to hot: stops of matplotlib's "magma", which also tells apart in grey. */
const heat: readonly Color[] = [
  [0, 0, 4],
  [81, 18, 124],
  [183, 55, 121],
  [252, 137, 97],
  [252, 253, 191],
]

/** Colours of classes: Okabe and Ito's, which people who cannot see red or green tell apart. */
const palette: readonly Color[] = [
  [230, 159, 0],
  [86, 180, 233],
  [0, 158, 115],
  [240, 228, 66],
  [0, 114, 178],
  [213, 94, 0],
  [204, 121, 167],
]

/** What class 0 is darkened with, so that other classes' colours stand out. */
const ground = [0, 0, 0, 140]

/** Heat maps `[N, h, w]` from 0 to 1, smoothed to the size of the pictures, as colours to lay over them. */
export async function heatOverlays(
  maps: Tensor,
  [height, width]: readonly [number, number],
): Promise<PictureOverlay[]> {
  const large = noGrad(() =>
    interpolate(maps.unsqueeze(1), { size: [height, width], mode: 'bilinear', alignCorners: false }),
  )
  const values = await large.contiguous().data()
  const size = height * width
  return Array.from({ length: maps.shape[0]! }, (_, item) => {
    const data = new Uint8ClampedArray(4 * size)
    for (let i = 0; i < size; i++) {
      const [red, green, blue] = heatColor(Number(values[item * size + i]))
      data.set([red, green, blue, 153], 4 * i)
    }
    return { data, width, height }
  })
}

function heatColor(value: number): Color {
  const at = Math.min(Math.max(value, 0), 1) * (heat.length - 1)
  const below = Math.min(Math.floor(at), heat.length - 2)
  const share = at - below
  const mix = (channel: 0 | 1 | 2) => heat[below]![channel] * (1 - share) + heat[below + 1]![channel] * share
  return [mix(0), mix(1), mix(2)]
}

/** Masks of class indices `[N, H, W]` as colours to lay over the pictures; class 0, the ground, is darkened. */
export async function maskOverlays(masks: Tensor): Promise<PictureOverlay[]> {
  const [items, height, width] = masks.shape as [number, number, number]
  const labels = await masks.contiguous().data()
  const size = height * width
  return Array.from({ length: items }, (_, item) => {
    const data = new Uint8ClampedArray(4 * size)
    for (let i = 0; i < size; i++) {
      const label = Number(labels[item * size + i])
      data.set(label > 0 ? [...palette[(label - 1) % palette.length]!, 217] : ground, 4 * i)
    }
    return { data, width, height }
  })
}
