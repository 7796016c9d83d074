import { ConfigError } from '../engine/errors.ts'
import { cat, noGrad, scope, Tensor } from '../engine/index.ts'
import type { Figure } from '../plot/index.ts'
import { type LearnerData, tensorsOf } from './data.ts'
import { inEvalMode } from './evaluate.ts'
import { type GradCamOptions, gradCam } from './gradCam.ts'
import type { Learner } from './Learner.ts'
import { activate } from './lossFunction.ts'
import { rejectUnknownOptions } from './options.ts'
import { heatOverlays } from './overlays.ts'

/** Options of {@link plotClassActivations}. */
export interface PlotClassActivationsOptions extends GradCamOptions {
  /** Where the pictures are. Default 'valid'. */
  dataset?: 'valid' | 'train' | 'test'
  /** Positions of the pictures in the data. Default: nine, evenly spread. */
  indices?: readonly number[]
  /** Pictures of your own, as `learner.predict` takes them, in the place of `dataset` and `indices`. */
  items?: readonly unknown[]
  /** Pictures in a row. Default: as near to a square as can be. */
  columns?: number
}

/**
 * Pictures under what the model looked at in them ({@link gradCam}), as a figure that saves itself. Titles give the class that is
 * explained and its probability.
 *
 * @example await (await plotClassActivations(learner, { items: ['bee.jpg'] })).save('bee-cam.png')
 * @throws ConfigError if the data is no pictures
 */
export async function plotClassActivations(
  learner: Learner,
  options: PlotClassActivationsOptions = {},
): Promise<Figure> {
  const known = ['layer', 'classes', 'dataset', 'indices', 'items', 'columns']
  rejectUnknownOptions('plotClassActivations', options, known)
  const { dataset = 'valid', indices, items, columns, layer, classes } = options
  const { data, model } = learner
  if (!data.showPictures) {
    throw new ConfigError('plotClassActivations draws pictures, and this data has none; see gradCam')
  }
  if (items && indices) {
    throw new ConfigError('plotClassActivations: indices and items exclude each other: give one of them')
  }
  return scope(async () => {
    const { x, classes: explained } = items
      ? { x: await inputsOf(data, items), classes }
      : await picturesOf(data, dataset, indices, classes)
    const maps = await gradCam(model, x, {
      ...(layer && { layer }),
      ...(explained && { classes: explained }),
    })
    const titles = await titlesOf(learner, x, maps.classes)
    const overlays = await heatOverlays(maps.maps, x.shape.slice(-2) as [number, number])
    return data.showPictures!(x, {
      titles,
      overlays,
      columns: columns ?? Math.ceil(Math.sqrt(titles.length)),
    })
  })
}

async function inputsOf(data: LearnerData, items: readonly unknown[]): Promise<Tensor> {
  if (items.length === 0) throw new ConfigError('plotClassActivations: items is empty; give it a picture')
  const inputs: Tensor[] = []
  for (const item of items) {
    if (item instanceof Tensor) inputs.push(item.unsqueeze(0))
    else if (data.oneItem) inputs.push(tensorsOf((await data.oneItem(item as never)).x)[0]!)
    else throw new ConfigError('this data cannot make a batch of an item; give a tensor [C, H, W]')
  }
  return noGrad(() => cat(inputs, 0))
}

async function picturesOf(
  data: LearnerData,
  dataset: 'valid' | 'train' | 'test',
  indices: readonly number[] | undefined,
  classes: readonly number[] | undefined,
): Promise<{ x: Tensor; classes: readonly number[] | undefined }> {
  if (!data.itemsOf) throw new ConfigError('plotClassActivations: this data cannot give single items')
  const loader = { valid: data.validDl, train: data.fixDl, test: data.testDl }[dataset]
  // Data often comes class by class, so that the first nine would be of one.
  const items = loader?.dataset.length ?? 0
  const count = Math.min(9, items)
  const chosen = indices ?? Array.from({ length: count }, (_, i) => Math.floor((i * items) / count))
  const { x, indices: shown = chosen } = await data.itemsOf(dataset, chosen)
  // Items that cannot be read may have been left out, and their classes with them.
  const ofShown =
    shown.length < chosen.length && classes?.length === chosen.length
      ? shown.map((item) => classes[chosen.indexOf(item)]!)
      : classes
  return { x: tensorsOf(x)[0]!, classes: ofShown }
}

async function titlesOf(learner: Learner, x: Tensor, classes: readonly number[]): Promise<string[]> {
  const { model, data, lossFunction } = learner
  const probabilities = await inEvalMode(model, async () => {
    const output = noGrad(() => activate(lossFunction, model.forward(x)))
    return output.toArray() as number[][]
  })
  return classes.map((label, i) => {
    const name = data.classes?.[label] ?? String(label)
    return `${name} ${probabilities[i]![label]!.toFixed(2)}`
  })
}
