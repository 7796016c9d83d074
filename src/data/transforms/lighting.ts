import { checkRange, rejectUnknownOptions } from '../options.ts'
import type { PictureTransform } from './Transform.ts'

export interface LightingOptions {
  /** Brightness is drawn from uniform(0.5·(1 − m), 0.5·(1 + m)), contrast log-uniformly from 1 − m to 1 / (1 − m). Default 0.2. */
  maxLighting?: number
  /** Probability of each of the two. Default 0.75. */
  p?: number
}

/** Changes brightness, then contrast; fastai's `brightness` and `contrast`, which add to and scale the pixels' logits. */
export function randomLighting(options: LightingOptions = {}): PictureTransform {
  rejectUnknownOptions('randomLighting', options, ['maxLighting', 'p'])
  const { maxLighting = 0.2, p = 0.75 } = options
  checkRange('randomLighting', 'maxLighting', maxLighting, 0, 0.99)
  checkRange('randomLighting', 'p', p, 0, 1)
  return {
    kind: 'picture',
    name: 'randomLighting',
    parameters: { maxLighting, p },
    apply: (picture, random) => {
      const change = random.uniform(0.5 * (1 - maxLighting), 0.5 * (1 + maxLighting))
      const scale = random.logUniform(1 - maxLighting, 1 / (1 - maxLighting))
      const brighten = random.chance(p)
      const stretch = random.chance(p)
      if (brighten || stretch) picture.lookup(lightingTable(brighten ? change : 0.5, stretch ? scale : 1))
    },
  }
}

const logit = (value: number) => Math.log(value / (1 - value))

/** What becomes of each byte: `change` 0.5 keeps the brightness, `scale` 1 the contrast. */
export function lightingTable(change: number, scale: number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => {
    const value = Math.min(Math.max(byte / 255, 1e-7), 1 - 1e-7)
    return Math.round(255 / (1 + Math.exp(-(logit(value) + logit(change)) * scale)))
  })
}
