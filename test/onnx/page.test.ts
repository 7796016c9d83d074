import { createReadStream, readFileSync, realpathSync, statSync } from 'node:fs'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { expect, test } from 'vitest'
import { imagenetStats } from '../../src/data/index.ts'
import { manualSeed, noGrad, tensor } from '../../src/engine/index.ts'
import * as nn from '../../src/nn/index.ts'
import { exportOnnx } from '../../src/onnx/index.ts'
import { models } from '../../src/vision/index.ts'
import { serve } from '../io/fileServer.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'
import { chromium, Page } from './chromium.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const types: Record<string, string> = {
  '.html': 'text/html',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
}

/** The page that the README shows. */
function pageInReadme(): string {
  const blocks = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^```html\n(.*?)^```$/gms)]
  expect(blocks).toHaveLength(1)
  return blocks[0]![1]!
}

test.skipIf(!chromium)(
  "the README's page names pictures in a browser as the model does here",
  { timeout: 180_000 },
  async () => {
    const folder = await temporaryFolder()
    const size = 32
    manualSeed(8)
    const model = new nn.Sequential(models.resnet18({ numClasses: 6 }), new nn.Softmax(1))
    await mkdir(`${folder}/out/tour`, { recursive: true })
    await exportOnnx(model, `${folder}/out/tour/model.onnx`, { inputShape: [1, 3, size, size] })
    const html = pageInReadme()
    await writeFile(`${folder}/index.html`, html)
    await symlink(join(root, 'node_modules'), `${folder}/node_modules`)
    const { url } = await serve((request, response) => {
      const path = join(folder, decodeURIComponent(new URL(request.url!, 'http://x').pathname))
      if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return void response.writeHead(404).end()
      response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' })
      createReadStream(realpathSync(path)).pipe(response)
    })
    const classes = JSON.parse(/const classes = (\[.*?\])/.exec(html)![1]!.replaceAll("'", '"')) as string[]

    const page = await Page.open(`${url}/index.html`)
    await page.until("document.querySelector('#answer')?.dataset.ready === 'yes'")
    for (const [index, colour] of ['#d04020', '#2040d0', '#101410'].entries()) {
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32"><rect width="32" height="32" fill="#ddd"/><circle cx="${10 + 4 * index}" cy="16" r="9" fill="${colour}"/></svg>`
      const file = `${folder}/${index}.png`
      const { data } = await sharp(Buffer.from(svg)).removeAlpha().raw().toBuffer({ resolveWithObject: true })
      await sharp(data, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toFile(file)
      const { mean, std } = imagenetStats
      const pixels = Float32Array.from({ length: 3 * size * size }, (_, i) => {
        const channel = Math.floor(i / (size * size))
        return (data[3 * (i % (size * size)) + channel]! / 255 - mean[channel]!) / std[channel]!
      })
      model.eval()
      const wanted = Array.from(
        noGrad(() => model.forward(tensor(pixels, { shape: [1, 3, size, size] }))).dataSync(),
      )
      const best = wanted.indexOf(Math.max(...wanted))

      await page.evaluate("document.querySelector('#answer').textContent = ''")
      await page.chooseFile('input', file)
      await page.until("document.querySelector('#answer').textContent !== ''")
      const [, label, share] = /^(\w+) \((.*) %\)$/.exec(
        await page.evaluate("document.querySelector('#answer').textContent"),
      )!
      expect(label).toBe(classes[best])
      expect(Math.abs(Number(share) - 100 * wanted[best]!)).toBeLessThanOrEqual(0.0501)
    }
    expect(page.log).toEqual([])
  },
)
