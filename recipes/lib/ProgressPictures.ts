import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'
import { scope, type Tensor } from '../../src/engine/index.ts'
import { type BatchEndContext, Callback, type TrainBeginContext } from '../../src/learner/index.ts'
import type { GANLearner } from '../../src/vision/gan/index.ts'

/** Pictures in a row, and pixels between them. */
const columns = 8
const gap = 2

export interface ProgressPicturesOptions {
  /** Folder of the pictures, `step-000100.png` and so on. */
  folder: string
  /** Batches between two pictures. */
  every: number
  /** What the generator makes them of: the same each time. */
  noise: Tensor
}

/** Writes what the generator makes of the same noise, before training and after every so many batches. */
export class ProgressPictures extends Callback {
  override readonly runsInLrFind = false
  readonly options: ProgressPicturesOptions

  constructor(options: ProgressPicturesOptions) {
    super()
    this.options = options
  }

  override async onTrainBegin({ learner, resuming }: TrainBeginContext): Promise<void> {
    await mkdir(this.options.folder, { recursive: true })
    if (!resuming) await this.#write(learner as unknown as GANLearner, 0)
  }

  override async onBatchEnd({ learner, train, iteration }: BatchEndContext): Promise<void> {
    const step = iteration + 1
    if (train && step % this.options.every === 0) await this.#write(learner as unknown as GANLearner, step)
  }

  /** The pictures so far, one after another, as an animated WebP. Returns the number of frames. */
  async animate(file: string): Promise<number> {
    const { folder } = this.options
    const frames = (await readdir(folder)).filter((name) => /^step-\d+\.png$/.test(name)).sort()
    const inputs = frames.map((name) => join(folder, name))
    if (inputs.length === 0) return 0
    // The last frame stays longer.
    const delay = inputs.map((_, i) => (i + 1 < inputs.length ? 200 : 2000))
    const animation = inputs.length === 1 ? sharp(inputs[0]) : sharp(inputs, { join: { animated: true } })
    await animation.webp({ delay, loop: 0, quality: 80 }).toFile(file)
    return inputs.length
  }

  async #write(gan: GANLearner, step: number): Promise<void> {
    const { folder, noise } = this.options
    await scope(async () => {
      const { data, width, height } = await tiled(await gan.generate(noise))
      const name = `step-${String(step).padStart(6, '0')}.png`
      await sharp(data, { raw: { width, height, channels: 3 } })
        .png()
        .toFile(join(folder, name))
    })
  }
}

/** Pictures [N, 3, H, W] in [-1, 1], side by side on white. */
async function tiled(pictures: Tensor): Promise<{ data: Uint8Array; width: number; height: number }> {
  const [count, , h, w] = pictures.shape as [number, number, number, number]
  const values = await pictures.permute(0, 2, 3, 1).data()
  const rows = Math.ceil(count / columns)
  const [width, height] = [columns * (w + gap) - gap, rows * (h + gap) - gap]
  const data = new Uint8ClampedArray(width * height * 3).fill(255)
  for (let i = 0; i < count; i++) {
    const [left, top] = [(i % columns) * (w + gap), Math.floor(i / columns) * (h + gap)]
    for (let y = 0; y < h; y++) {
      for (let k = 0; k < 3 * w; k++) {
        const value = values[(i * h + y) * 3 * w + k] as number
        data[((top + y) * width + left) * 3 + k] = (value + 1) * 127.5
      }
    }
  }
  return { data: new Uint8Array(data.buffer), width, height }
}
