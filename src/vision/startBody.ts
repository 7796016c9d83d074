import { loadWeights } from '../io/index.ts'
import type * as nn from '../nn/index.ts'
import { type Cut, createBody } from './head.ts'
import { type Architecture, weightsFile } from './models/architecture.ts'

/** A model to build on: one of {@link models}, or any function that makes a module with three input channels. */
export type VisionArchitecture = Architecture | (() => nn.Module)

/** How the body of a new learner comes about. */
export interface BodyOptions {
  /** Starts the body from trained weights and freezes it; without, it starts from random weights and all is trained. Default true. */
  pretrained?: boolean
  /** File of trained weights of the architecture (.pth or safetensors). Its classifier is not used and may have any number of classes. */
  weights?: string
  /** Where the body ends; see {@link createBody}. Default: the architecture's own place. */
  cut?: Cut
  /** The modules of the body that begin a new layer group. Default: the architecture's own. */
  split?: (model: nn.Module) => readonly nn.Module[]
}

/** A body to put something new on. */
export interface StartedBody {
  body: nn.Sequential
  /** The modules of the body that begin a new layer group. */
  starts: readonly nn.Module[]
  /** Whether it has trained weights. */
  trained: boolean
}

/** Makes a model, cuts it, and gives its body trained weights if wanted. */
export async function startBody(arch: VisionArchitecture, options: BodyOptions): Promise<StartedBody> {
  const { pretrained = true, weights, cut, split } = options
  const known = 'cut' in arch ? arch : undefined
  const file = await weightsFile(arch.name || 'the model', {
    pretrained,
    ...(weights !== undefined && { weights }),
  })
  const model = arch() as nn.Module
  const body = createBody(model, cut ?? known?.cut(model))
  if (file !== undefined) await loadWeights(model, file, { skip: isOutside(model, body) })
  return { body, starts: split?.(model) ?? known?.split(model) ?? [], trained: file !== undefined }
}

/** Whether a name in the state dict belongs to a child of the model that is no part of the body. */
function isOutside(model: nn.Module, body: nn.Module): (name: string) => boolean {
  const kept = new Set(body.children())
  const outside = model.namedChildren().filter(([, child]) => !kept.has(child))
  return (name) => outside.some(([child]) => name.startsWith(`${child}.`))
}
