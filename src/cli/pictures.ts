import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import type { Learner, models, nn } from '../index.ts'
import type { Terminal } from './Terminal.ts'
import { integer, number } from './values.ts'

/** Options of the commands that train: what data, what model. */
export interface PictureOptions {
  arch: string
  weights: string
  size: number
  batchSize: number
  valid: number
  seed: number
  device: string
  skipBroken: boolean
  json: boolean
}

/** How pictures lie in the folder, for the help. */
export const foldersHelp = `
The folder holds pictures in folders named after their classes, either apart already or all together:

  DIR/train/bee/1.jpg  DIR/valid/bee/7.jpg      (or val for valid)
  DIR/bee/1.jpg        DIR/ant/2.jpg            a part of them, --valid, is kept for validation
`

/** Adds the options of {@link PictureOptions}. */
export function addPictureOptions(command: Command): Command {
  return command
    .option('--arch <name>', 'network to start from; "list" shows all of them', 'resnet18')
    .option(
      '--weights <file>',
      'trained weights to start from: "published" downloads torchvision\'s once, "none" starts from random ones, ' +
        'or a file of your own (.pth or .safetensors)',
      'published',
    )
    .option('--size <pixels>', 'side of the pictures', integer(16), 224)
    .option('--batch-size <n>', 'pictures a step', integer(2), 16)
    .option('--valid <part>', 'part kept for validation where there is no folder for it', number(0, 1), 0.2)
    .option('--seed <n>', 'same seed, same numbers', integer(0), 42)
    .option('--device <name>', 'cpu, cuda, or auto: cuda where there is one', 'auto')
    .option('--skip-broken', 'leave out pictures that cannot be read, instead of stopping')
    .option('--json', 'one JSON object on stdout; all else goes to stderr')
}

/** The library, brought in when a command needs it: help must not wait for it, nor for an engine to be there. */
export const library = () => import('../index.ts')

type Library = Awaited<ReturnType<typeof library>>

/** Names of the networks that can be trained. */
export function architectureNames({ models }: Library): string[] {
  return Object.entries(models as Record<string, unknown>)
    .filter(([, value]) => typeof value === 'function' && 'cut' in value)
    .map(([name]) => name)
}

/** Shows what `--arch` can be. */
export async function listArchitectures(terminal: Terminal): Promise<void> {
  const anneal = await library()
  const published = new Map(anneal.listPretrained().map((weights) => [weights.architecture, weights]))
  const rows = architectureNames(anneal).map((name) => ({
    name,
    top1: published.get(name)?.accuracy.top1 ?? null,
    bytes: published.get(name)?.bytes ?? null,
  }))
  for (const { name, top1, bytes } of rows) {
    const known =
      top1 === null || bytes === null
        ? 'no published weights'
        : `${(bytes / 1e6).toFixed(0).padStart(4)} MB of published weights, ${(100 * top1).toFixed(1)} % on ImageNet`
    terminal.say(`  ${name.padEnd(18)}${known}`)
  }
  terminal.result(rows)
}

/** The pictures of a folder, with the transforms of the transfer-learning recipe. What is written to `out` is none of them. */
export async function loadPictures(dir: string, options: PictureOptions, out?: string) {
  const {
    ConfigError,
    DataError,
    ImageDataBunch,
    imagenetStats,
    manualSeed,
    setDefaultDevice,
    transforms: T,
  } = await library()
  const { size, seed, batchSize, device } = options
  if (!existsSync(dir)) throw new DataError(`there is no folder ${resolve(dir)}`)
  manualSeed(seed)
  try {
    setDefaultDevice(device)
  } catch (cause) {
    throw new ConfigError(`--device ${device}: ${(cause as Error).message}`, { cause })
  }
  const has = (name: string) => existsSync(join(dir, name))
  const apart = has('train') && (has('valid') || has('val'))
  const { resultFolders } = await import('./picturesIn.ts')
  return ImageDataBunch.fromFolder(dir, {
    ...(apart ? {} : { train: has('train') ? 'train' : '.', validPct: options.valid }),
    exclude: resultFolders(has('train') ? join(dir, 'train') : dir, out),
    size,
    batchSize,
    transforms: {
      train: [T.randomResizedCrop(size, { scale: [0.5, 1] }), T.randomHorizontalFlip()],
      valid: [T.resize(Math.round(size * 1.14)), T.centerCrop(size)],
    },
    stats: imagenetStats,
    seed,
    onError: options.skipBroken ? 'skip' : 'throw',
  })
}

type Pictures = Awaited<ReturnType<typeof loadPictures>>

/** A Learner on the pictures: the network's body with a new head. */
export async function makeLearner(
  data: Pictures,
  options: PictureOptions,
  { path, terminal }: { path: string; terminal: Terminal },
): Promise<Learner<nn.Sequential>> {
  const anneal = await library()
  const { ConfigError, metrics, ProgressCallback, visionLearner } = anneal
  const names = architectureNames(anneal)
  if (!names.includes(options.arch)) {
    throw new ConfigError(
      `there is no network ${JSON.stringify(options.arch)}; the names are ${names.join(', ')}`,
    )
  }
  const arch = (anneal.models as unknown as Record<string, models.Architecture>)[options.arch]!
  const { weights } = options
  const start =
    weights === 'none'
      ? { pretrained: false }
      : weights === 'published'
        ? { pretrained: true }
        : { pretrained: true, weights }
  return visionLearner(data, arch, {
    ...start,
    // A few hundred pictures are too few for a hidden layer in the head.
    ...(data.trainDs.length < 2000 && { linearFeatures: [], dropout: 0.1 }),
    metrics: [metrics.accuracy],
    // Tables and bars go to stdout by themselves, which is for JSON if that was asked for.
    silent: terminal.json,
    callbacks: terminal.json ? [new ProgressCallback({ stream: terminal.stream })] : [],
    path,
  })
}

/** What pictures there are, in a line. */
export function describePictures(data: Pictures): string {
  const classes = data.classes ?? []
  const some = classes.slice(0, 12).join(', ')
  return (
    `${data.trainDs.length} pictures to train on, ${data.validDs?.length ?? 0} to validate, ` +
    `${data.c} classes: ${some}${classes.length > 12 ? ', …' : ''}`
  )
}
