import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ImageDataBunch } from '../../src/data/ImageDataBunch.ts'
import { toPipeline } from '../../src/data/transforms/compose.ts'
import * as T from '../../src/data/transforms/index.ts'
import type { Tensor } from '../../src/engine/index.ts'
import { ramp, temporaryFolder, writePicture } from './pictures.ts'

/** A transform of one's own that says nothing of what it does. */
const fill = (value: number, name = 'fill'): T.PictureTransform => ({
  kind: 'picture',
  name,
  parameters: {},
  deterministic: true,
  apply: (picture) => void picture.map((image) => ({ ...image, data: image.data.map(() => value) })),
})

async function bunch(
  transforms: T.TransformPair,
  cache?: 'memory' | { folder: string },
  dir = temporaryFolder(),
) {
  const names = ['a1.png', 'b1.png', 'a2.png', 'b2.png']
  for (const name of names.filter((each) => !existsSync(join(dir, each))))
    await writePicture(join(dir, name), ramp(4))
  const options = { transforms, cache, batchSize: 2, validIndices: [2, 3], seed: 1 }
  return ImageDataBunch.fromNameFunc(dir, names, (path) => (/a\d\.png$/.test(path) ? 'a' : 'b'), options)
}

const firstValue = (x: Tensor) => (x.flatten().toArray() as number[])[0]!

describe("transforms of one's own", () => {
  it.each(['memory', 'disk'])(
    'of one name and without parameters do not share what is kept: %s',
    async (where) => {
      const cache = where === 'memory' ? where : { folder: temporaryFolder() }
      const data = await bunch({ train: [fill(255)], valid: [fill(0)] }, cache)
      for (let epoch = 0; epoch < 2; epoch++) {
        for await (const { x } of data.trainDl) expect(firstValue(x)).toBe(1)
        for await (const { x } of data.fixDl) expect(firstValue(x)).toBe(0)
        for await (const { x } of data.validDl!) expect(firstValue(x)).toBe(0)
      }
    },
  )

  it("with the name of one of the library's are not taken for it", async () => {
    const own = await bunch({ train: [], valid: [fill(7, 'pad')] })
    expect(own.describeItem()).toBeUndefined()
    const library = await bunch({ train: [], valid: [T.pad(1)] })
    expect(library.describeItem()).toMatchObject({ steps: [{ name: 'pad' }, { name: 'toTensor' }] })
    // where the window lies is drawn
    const drawing = await bunch({ train: [], valid: [T.cropPad(3, { row: [0, 1] })] })
    expect(drawing.describeItem()).toBeUndefined()

    const [folder, pictures] = [temporaryFolder(), temporaryFolder()]
    const values: number[] = []
    for (const value of [3, 5]) {
      const data = await bunch({ train: [fill(value, 'pad')], valid: [] }, { folder }, pictures)
      values.push(Math.round(255 * firstValue((await data.oneBatch()).x as Tensor)))
    }
    expect(values).toEqual([3, 5])
  })

  it('named toTensor are done before normalize', () => {
    const twice: T.BatchTransform = {
      kind: 'batch',
      name: 'toTensor',
      parameters: {},
      apply: (x) => x.to('float32').mul(2),
    }
    const steps = [twice, T.normalize([0, 0, 0], [1, 1, 1])]
    expect(toPipeline(steps).batchSteps).toEqual(steps)
    expect(toPipeline([T.toTensor(), steps[1]!]).batchSteps).toEqual([steps[1]])
  })
})
