import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { loadPictures } from '../../src/cli/pictures.ts'
import type { FilePrediction } from '../../src/cli/predictCommand.ts'
import type { TrainResult } from '../../src/cli/trainCommand.ts'
import { randn } from '../../src/engine/index.ts'
import { loadLearner } from '../../src/index.ts'
import { runOnnx } from '../onnx/runtime.ts'
import { drawColours } from '../recipes/support.ts'
import { anneal, annealHere, type Outcome } from './anneal.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(`${tmpdir()}/anneal-cli-`)
  await drawColours(`${folder}/pictures`, { train: 12, valid: 6 })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** In this process, with paths below the folder. */
const there = (args: readonly string[]): Promise<Outcome> =>
  annealHere(
    args.map((arg) =>
      /[/.]|^(pictures|nowhere|out|json)$/.test(arg) && !/^[\d.e-]+$/.test(arg) ? `${folder}/${arg}` : arg,
    ),
  )

/** From scratch, since nothing can be downloaded here; colours are learnt at once. */
const quick = ['--weights', 'none', '--size', '32', '--batch-size', '8', '--lr', '3e-3']
const escapes = '\u001b['

describe('train, then all that follows', () => {
  test('train says what it does, writes all that it promises, and uses no colours', () => {
    const { status, stdout, stderr } = anneal(
      ['train', 'pictures', ...quick, '--head-epochs', '2', '--epochs', '1', '--out', 'out', '--onnx'],
      { cwd: folder },
    )
    expect(stderr).toBe('')
    expect(status).toBe(0)
    expect(stdout).toContain('24 pictures to train on, 12 to validate, 2 classes: blue, red')
    expect(stdout).toMatch(/Stage 1[\s\S]*epoch +trainLoss +validLoss +accuracy[\s\S]*Stage 2/)
    expect(stdout).toMatch(/% of the validation pictures are named rightly/)
    expect(stdout).toContain('anneal predict out/model.safetensors PICTURES…')
    expect(stdout).not.toContain(escapes)
    for (const name of [
      'model.safetensors',
      'model.onnx',
      'history.csv',
      'losses.png',
      'confusion.png',
      'top-losses.png',
    ])
      expect(existsSync(`${folder}/out/${name}`)).toBe(true)
    expect(existsSync(`${folder}/out/best.safetensors`)).toBe(false)
    expect(readFileSync(`${folder}/out/history.csv`, 'utf8').trim().split('\n')).toHaveLength(4)
  })

  test('train --json: nothing but JSON on stdout; a folder of classes is split', async () => {
    const { status, stdout, stderr } = await there([
      'train',
      'pictures/train',
      ...quick,
      '--head-epochs',
      '1',
      '--epochs',
      '0',
      '--valid',
      '0.25',
      '--out',
      'json',
      '--json',
    ])
    expect(status).toBe(0)
    expect(stderr).toContain('18 pictures to train on, 6 to validate')
    const result = JSON.parse(stdout) as TrainResult
    expect(result).toMatchObject({ classes: ['blue', 'red'], epochs: 1, learningRate: 3e-3 })
    expect(result.accuracy).toBeGreaterThanOrEqual(0)
    for (const file of Object.values(result.files)) expect(existsSync(file)).toBe(true)
  })

  test('predict: a line a picture between tabs, folders searched, and JSON', async () => {
    const model = 'out/model.safetensors'
    const lines = anneal(['predict', model, 'pictures/valid/red/0.jpg', 'pictures/valid/blue'], {
      cwd: folder,
    })
    expect(lines.status).toBe(0)
    const rows = lines.stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t'))
    expect(rows).toHaveLength(7)
    const learner = await loadLearner(`${folder}/${model}`)
    const wanted = await learner.predict(`${folder}/pictures/valid/red/0.jpg`)
    const share = Math.max(...(wanted.predictions as number[]))
    expect(rows[0]).toEqual(['pictures/valid/red/0.jpg', wanted.label, share.toFixed(4)])

    await writeFile(`${folder}/broken.jpg`, 'no picture')
    const json = await there([
      'predict',
      model,
      'broken.jpg',
      'pictures/valid/red/0.jpg',
      '--top',
      '2',
      '--json',
    ])
    expect(json.status).toBe(1)
    expect(json.stderr).toMatch(/broken\.jpg/)
    const [broken, red] = JSON.parse(json.stdout) as FilePrediction[]
    expect(broken).toEqual({ file: `${folder}/broken.jpg`, error: expect.stringContaining('broken.jpg') })
    expect(red!.classes!.map(({ label }) => label).sort()).toEqual(['blue', 'red'])
    expect(red!.classes![0]!.probability + red!.classes![1]!.probability).toBeCloseTo(1, 5)
    expect(red!.probability).toBeCloseTo(share, 5)
  })

  test('evaluate counts as the model predicts', async () => {
    const { status, stdout } = await there([
      'evaluate',
      'out/model.safetensors',
      'pictures',
      '--out',
      'c.svg',
      '--json',
    ])
    expect(status).toBe(0)
    const result = JSON.parse(stdout) as {
      accuracy: number
      pictures: number
      confusionMatrix: number[][]
      loss: number
    }
    const predicted = anneal(['predict', 'out/model.safetensors', 'pictures/valid', '--json'], {
      cwd: folder,
    })
    const list = JSON.parse(predicted.stdout) as FilePrediction[]
    const right = list.filter(({ file, label }) => file.includes(`/${label}/`)).length
    expect(result.pictures).toBe(12)
    expect(result.accuracy).toBeCloseTo(right / 12, 10)
    expect(result.confusionMatrix[0]![0]! + result.confusionMatrix[1]![1]!).toBe(right)
    expect(existsSync(`${folder}/c.svg`)).toBe(true)
    const elsewhere = await there(['evaluate', 'out/model.safetensors', '.'])
    expect(elsewhere.status).toBe(1)
    expect(elsewhere.stderr).toMatch(/no classes of the model: .*the classes are blue, red/)
  })

  test('what train wrote beside the classes is none of them, and links to folders are', async () => {
    const here = `${folder}/here`
    await cp(`${folder}/pictures/valid/red`, `${here}/red`, { recursive: true })
    await symlink(`${folder}/pictures/valid/blue`, `${here}/blue`)
    const options = {
      ...{ arch: 'resnet18', weights: 'none', size: 32, batchSize: 4, valid: 0.25, seed: 1 },
      ...{ device: 'cpu', skipBroken: false, json: false },
    }
    // Of a run that was broken off there are figures alone.
    await mkdir(`${here}/runs/first`, { recursive: true })
    await cp(`${folder}/out/losses.png`, `${here}/runs/first/lr-find.png`)
    const outs = [undefined, 'runs/first', 'runs/second', 'other', 'other/deeper', '', '..', '../elsewhere']
    for (const out of outs) {
      const data = await loadPictures(here, options, out === undefined ? out : `${here}/${out}`)
      expect([data.classes, data.trainDs.length], out).toEqual([['blue', 'red'], 9])
    }
    for (const out of ['red', 'red/out', 'blue'])
      await expect(loadPictures(here, options, `${here}/${out}`)).rejects.toThrow(
        new RegExp(`^--out \\S+/${out}: \\S+ holds pictures, which makes it a class`),
      )
    await rm(`${here}/runs`, { recursive: true })

    await cp(`${folder}/out`, `${here}/out`, { recursive: true })
    expect((await loadPictures(here, options)).classes).toEqual(['blue', 'red'])
    const evaluated = await there(['evaluate', 'out/model.safetensors', './here', '--json'])
    expect(evaluated.status).toBe(0)
    expect(JSON.parse(evaluated.stdout)).toMatchObject({ pictures: 12 })
    await mkdir(`${folder}/linked`)
    await symlink(`${folder}/pictures/valid`, `${folder}/linked/test`)
    const linked = await there(['evaluate', 'out/model.safetensors', './linked', '--json'])
    expect(JSON.parse(linked.stdout)).toMatchObject({ pictures: 12 })
  })

  test('broken pictures stop train and evaluate, which say how to leave them out; then they end well', async () => {
    await cp(`${folder}/pictures`, `${folder}/spoilt/pictures`, { recursive: true })
    const broken = ['valid/blue/!.jpg', 'train/red/!.jpg'].map((name) => `${folder}/spoilt/pictures/${name}`)
    for (const file of broken) await writeFile(file, 'no picture')
    const train = ['train', 'spoilt/pictures', ...quick, '--head-epochs', '1', '--epochs', '0']
    const stopped = await there([...train, '--out', 'spoilt/out'])
    expect(stopped.status).toBe(1)
    expect(stopped.stderr).toMatch(
      /!\.jpg: this is no picture .* leave such pictures out with --skip-broken$/m,
    )
    const warned = vi.spyOn(process, 'emitWarning').mockReturnValue()
    const lenient = await there([...train, '--out', 'spoilt/out', '--skip-broken', '--json'])
    expect(lenient.status).toBe(0)
    for (const file of Object.values((JSON.parse(lenient.stdout) as TrainResult).files))
      expect(existsSync(file)).toBe(true)
    expect(warned.mock.calls.map(([text]) => String(text)).join()).toMatch(/valid\/blue\/!\.jpg/)
    expect(warned.mock.calls.map(([text]) => String(text)).join()).not.toMatch(/onError/)
    warned.mockRestore()

    const model = 'spoilt/out/model.safetensors'
    const strict = await there(['evaluate', model, 'spoilt/pictures'])
    expect(strict.status).toBe(1)
    expect(strict.stderr).toMatch(/^anneal: .*blue\/!\.jpg: .* with --skip-broken$/m)
    const evaluated = await there(['evaluate', model, 'spoilt/pictures', '--skip-broken', '--json'])
    expect(evaluated.status).toBe(0)
    expect(evaluated.stderr).toMatch(/left out: .*!\.jpg/)
    const whole = await there(['evaluate', model, 'pictures', '--json'])
    const { loss, ...rest } = JSON.parse(whole.stdout) as { loss: number }
    const expected = { ...rest, loss: expect.closeTo(loss, 5), skipped: [broken[0]] }
    expect(JSON.parse(evaluated.stdout)).toEqual(expected)

    const predicted = await there(['predict', model, 'spoilt/pictures/valid', '--json'])
    expect(predicted.status).toBe(1)
    const list = JSON.parse(predicted.stdout) as FilePrediction[]
    expect(list.filter(({ error }) => error !== undefined)).toEqual([
      { file: broken[0], error: expect.stringMatching(/Repair or remove it$/) },
    ])
    expect(list).toHaveLength(13)
  })

  test('export writes ONNX that computes the same, and weights; info tells what is in them', async () => {
    expect((await there(['export', 'out/model.safetensors', 'm.onnx'])).stdout).toContain(
      'its outputs are blue, red',
    )
    const x = randn([2, 3, 32, 32])
    const [found] = await runOnnx(`${folder}/m.onnx`, [x])
    const learner = await loadLearner(`${folder}/out/model.safetensors`)
    const [first] = await learner.predictAll([x.index(0)])
    for (const [i, value] of (first!.predictions as number[]).entries())
      expect(Math.abs(Number(found!.data[i]) - value)).toBeLessThan(1e-4)

    expect((await there(['export', 'out/model.safetensors', 'w.pth'])).status).toBe(0)
    const info = JSON.parse((await there(['info', 'w.pth', '--json'])).stdout) as {
      format: string
      tensors: Record<string, unknown>
    }
    expect(info.format).toBe('pth')
    expect(info.tensors['0.0.weight']).toEqual({ dtype: 'float32', shape: [64, 3, 7, 7] })
    const told = (await there(['info', 'out/model.safetensors'])).stdout
    expect(told).toMatch(/classes +blue, red/)
    expect((await there(['export', 'out/model.safetensors', 'm.tflite'])).stderr).toMatch(
      /the ending must be \.onnx/,
    )
  })
})

test('lr-find saves the curve and proposes rates', async () => {
  const { status, stdout, stderr } = await there([
    'lr-find',
    'pictures',
    ...quick.slice(0, 6),
    '--steps',
    '30',
    '--out',
    'lr-find.png',
    '--json',
  ])
  expect(stderr).toContain('24 pictures')
  expect(status).toBe(0)
  const { suggestions, lrs, file } = JSON.parse(stdout) as {
    suggestions: { valley: number }
    lrs: number[]
    file: string
  }
  expect(file).toBe(`${folder}/lr-find.png`)
  expect(lrs[0]).toBeCloseTo(1e-7, 9)
  expect(suggestions.valley === null || suggestions.valley > 0).toBe(true)
  expect(readFileSync(`${folder}/lr-find.png`).subarray(1, 4).toString()).toBe('PNG')
})

test('wrong folders, networks and weights are told in one line', async () => {
  for (const [args, message] of [
    [['train', 'nowhere', ...quick], /^anneal: there is no folder .*nowhere/],
    [['train', 'out', ...quick], /^anneal: .*out/],
    [
      ['train', 'pictures', ...quick, '--arch', 'resnet19'],
      /there is no network "resnet19"; the names are .*resnet18/,
    ],
    [['train', 'pictures', ...quick, '--weights', 'out/history.csv'], /history\.csv is no weights file/],
    [['train', 'pictures', ...quick, '--device', 'cuda:9'], /--device cuda:9: /],
    [['train', 'pictures', ...quick, '--head-epochs', '0', '--epochs', '0'], /nothing would be trained/],
  ] as const) {
    const { status, stderr } = await there(args)
    expect(stderr).toMatch(message)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(status).toBe(1)
  }
})

test('colours where they are asked for, and a pipe that ends early is no error', async () => {
  const model = 'out/model.safetensors'
  expect(
    anneal(['predict', model, 'pictures/valid/red/0.jpg'], { cwd: folder, env: { FORCE_COLOR: '1' } }).stdout,
  ).toContain(escapes)
  const command = `'${process.execPath}' '${new URL('../../bin/anneal.mjs', import.meta.url).pathname}' predict ${model} pictures/valid --batch-size 1 | head -1`
  const output = execFileSync('bash', ['-c', `set -o pipefail; ${command}`], {
    cwd: folder,
    encoding: 'utf8',
  })
  expect(output.trim().split('\n')).toHaveLength(1)
})

test('--arch list shows the networks', async () => {
  expect((await annealHere(['train', '--arch', 'list'])).stdout).toMatch(
    /resnet18 +47 MB of published weights, 69\.8 % on ImageNet/,
  )
})
