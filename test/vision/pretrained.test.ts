import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir } from 'node:fs/promises'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { CheckpointError, ConfigError } from '../../src/engine/errors.ts'
import { emptyCache as emptyEngineCache, equal } from '../../src/engine/index.ts'
import { cacheFolder, saveWeights } from '../../src/io/index.ts'
import {
  cachedWeights,
  fetchWeights,
  fetchWeightsSync,
  imagenetClasses,
  listPretrained,
  models,
  pretrainedWeights,
} from '../../src/vision/index.ts'
import { serve } from '../io/fileServer.ts'
import { temporaryFolder } from '../io/temporaryFolder.ts'

afterEach(() => vi.unstubAllEnvs())

/** An empty cache, and no network but what a test names. */
async function emptyCache(hub = 'http://127.0.0.1:1'): Promise<string> {
  const folder = await temporaryFolder()
  vi.stubEnv('ANNEAL_CACHE', folder)
  vi.stubEnv('ANNEAL_HUB', hub)
  vi.stubEnv('ANNEAL_OFFLINE', undefined)
  for (const name of ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy']) vi.stubEnv(name, undefined)
  return folder
}

describe('the registry', () => {
  test('its facts agree with each other, and with the models', () => {
    const all = listPretrained()
    expect(all.length).toBeGreaterThanOrEqual(26)
    for (const { architecture, file, url, sha256, bytes, classes, accuracy } of all) {
      expect(models, architecture).toHaveProperty(architecture)
      // torchvision's file names end with the first eight digits of the checksum.
      expect(sha256).toMatch(/^([0-9a-f]{8}|[0-9a-f]{64})$/)
      expect(sha256.slice(0, 8)).toBe(/-([0-9a-f]{8})\.pth$/.exec(file)![1])
      expect(url.endsWith(`/${file}`)).toBe(true)
      expect(classes).toHaveLength(1000)
      expect(accuracy.top1).toBeLessThan(accuracy.top5)
      expect(bytes).toBeGreaterThan(1e6)
    }
    expect(new Set(all.map(({ url }) => url)).size).toBe(all.length)
  })

  test('sizes are those of the parameters, in float32, and little more', () => {
    for (const name of ['resnet18', 'squeezenet1_0', 'squeezenet1_1', 'mobilenetV2'] as const) {
      const parameters = models[name]()
        .parameters()
        .reduce((sum, { numel }) => sum + numel, 0)
      const { bytes } = pretrainedWeights(name)
      expect(bytes).toBeGreaterThan(4 * parameters)
      expect(bytes).toBeLessThan(4.1 * parameters)
    }
  })

  test('class names are those of ImageNet', () => {
    expect([0, 207, 281, 717, 999].map((i) => imagenetClasses[i])).toEqual([
      'tench',
      'golden retriever',
      'tabby',
      'pickup',
      'toilet tissue',
    ])
  })

  test('resizing is that of torchvision 0.14', () => {
    const odd = listPretrained().filter(
      ({ resize, crop, interpolation }) => resize !== 256 || crop !== 224 || interpolation !== 'bilinear',
    )
    expect(
      odd.map(({ architecture, resize, interpolation }) => [architecture, resize, interpolation]),
    ).toEqual([
      ['efficientnetB0', 256, 'bicubic'],
      ['convnextTiny', 236, 'bilinear'],
    ])
  })

  test('what is not in it', () => {
    expect(() => pretrainedWeights('resnet19')).toThrow(
      /no published weights of "resnet19".*resnet18, resnet34/,
    )
  })
})

describe('fetchWeights', () => {
  test('the cache: its own variable, then the XDG folder', async () => {
    vi.stubEnv('ANNEAL_CACHE', '/a/b')
    expect(cachedWeights('resnet18')).toBe('/a/b/weights/resnet18-f37072fd.pth')
    vi.stubEnv('ANNEAL_CACHE', undefined)
    vi.stubEnv('XDG_CACHE_HOME', '/x')
    expect(cacheFolder()).toBe('/x/anneal')
    vi.stubEnv('XDG_CACHE_HOME', 'relative')
    expect(cacheFolder()).toMatch(/\/\.cache\/anneal$/)
  })

  test('what is in the cache is taken, and the network left alone', async () => {
    const folder = await emptyCache()
    vi.stubEnv('ANNEAL_OFFLINE', '1')
    await mkdir(`${folder}/weights`)
    const trained = models.squeezenet1_1()
    await saveWeights(trained, cachedWeights('squeezenet1_1'))
    expect(await fetchWeights('squeezenet1_1')).toBe(cachedWeights('squeezenet1_1'))
    const model = models.squeezenet1_1({ pretrained: true })
    const [ours, theirs] = [model, trained].map((each) => each.parameters()[0]!.toArray())
    expect(ours).toEqual(theirs)
  })

  test.each(['squeezenet1_1', 'resnet18', 'mobilenetV2', 'densenet121', 'efficientnetB0'] as const)(
    '%s with another number of classes: all but the last layer is trained',
    async (name) => {
      const folder = await emptyCache()
      await mkdir(`${folder}/weights`)
      const trained = models[name]()
      await saveWeights(trained, cachedWeights(name))
      const model = models[name]({ pretrained: true, numClasses: 7 })
      const [ours, theirs] = [model, trained].map((each) => each.namedParameters())
      expect(ours!.slice(0, -2).every(([, value], i) => equal(value, theirs![i]![1]))).toBe(true)
      expect(ours!.slice(-2).map(([, { shape }]) => shape[0])).toEqual([7, 7])
      // A file of one's own is for the very model.
      expect(() => models[name]({ weights: cachedWeights(name), numClasses: 7 })).toThrow(
        /of another shape \(2\)/,
      )
      emptyEngineCache()
    },
  )

  test('offline: an error that says what to put where', async () => {
    const folder = await emptyCache()
    vi.stubEnv('ANNEAL_OFFLINE', '1')
    const message =
      /Put https:\/\/download\.pytorch\.org\/models\/resnet18-f37072fd\.pth at .*weights\/resnet18-f37072fd\.pth/
    await expect(fetchWeights('resnet18')).rejects.toThrow(message)
    expect(() => models.resnet18({ pretrained: true })).toThrow(message)
    expect(await readdir(folder)).toEqual([])
    vi.stubEnv('ANNEAL_OFFLINE', 'maybe')
    await expect(fetchWeights('resnet18')).rejects.toThrow(/ANNEAL_OFFLINE must be 1 or 0, got "maybe"/)
  })

  test('mirrors are asked in turn, and what they send is compared', async () => {
    const missing = await serve((_, response) => response.writeHead(404).end())
    const wrong = await serve((_, response) => response.end('not these weights'))
    await emptyCache(`${missing.url}/a/, ${wrong.url}/b`)
    const failed = fetchWeights('resnet18', { progress: null })
    await expect(failed).rejects.toThrow(CheckpointError)
    await expect(failed).rejects.toThrow(/2 places:\n.*404.*\n.*SHA-256 is .*not f37072fd47e89c5e/)
    expect(missing.heard[0]!.path).toBe('/a/resnet18-f37072fd.pth')
    expect(wrong.heard[0]!.path).toBe('/b/resnet18-f37072fd.pth')
    vi.stubEnv('ANNEAL_HUB', '/mnt/weights')
    await expect(fetchWeights('resnet18')).rejects.toThrow(ConfigError)
  })

  test('a function that gives a model at once waits for a process that downloads', async () => {
    // The server must not be of this process, which stands still meanwhile.
    const code =
      "require('node:http').createServer((q, s) => s.end('not these weights')).listen(0, '127.0.0.1', function () { console.log(this.address().port) })"
    const server = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void server.kill())
    const [port] = (await once(server.stdout, 'data')) as [Buffer]
    const folder = await emptyCache(`http://127.0.0.1:${String(port).trim()}`)
    expect(() => models.resnet18({ pretrained: true })).toThrow(
      /resnet18-f37072fd\.pth is not the file that was expected: its SHA-256 is [0-9a-f]{64}, not f37072fd/,
    )
    expect(() => fetchWeightsSync('resnet18')).toThrow(CheckpointError)
    expect(await readdir(`${folder}/weights`)).toEqual([])
  })
})
