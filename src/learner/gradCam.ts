import { ConfigError, ShapeError } from '../engine/errors.ts'
import { enableGrad, grad, noGrad, scope, Tensor, tensor } from '../engine/index.ts'
import type * as nn from '../nn/index.ts'
import { inEvalMode } from './evaluate.ts'
import type { AnyModule } from './layerGroups.ts'
import { rejectUnknownOptions } from './options.ts'

/** Options of {@link gradCam}. */
export interface GradCamOptions {
  /**
   * The layer whose feature maps are looked at. Default: the module, of one layer or of many, that is the last to give feature maps
   * `[N, C, h, w]` of more than one pixel, which is where the body of a model for pictures ends.
   */
  layer?: nn.Module
  /** The class to explain, for each picture. Default: what the model predicts. */
  classes?: readonly number[]
}

/** Where a model looked. */
export interface ClassActivation {
  /** From 0 (did not matter) to 1 (mattered most) for each place of the feature maps, `[N, h, w]`, on the CPU. */
  maps: Tensor
  /** The class that each map explains. */
  classes: number[]
}

/**
 * Class activation maps by gradients ("Grad-CAM", Selvaraju et al. 2016, https://arxiv.org/abs/1610.02391): how much each place
 * of a picture spoke for a class. Of a classifier `model` of pictures `x` `[N, C, H, W]` with outputs `[N, classes]`; runs in
 * evaluation mode and leaves parameters and their gradients alone. It works inside `noGrad` too.
 *
 * @throws ConfigError if the model has no such layer or no such class; ShapeError if its outputs are no logits
 */
export async function gradCam(
  model: AnyModule,
  x: Tensor,
  options: GradCamOptions = {},
): Promise<ClassActivation> {
  rejectUnknownOptions('gradCam', options, ['layer', 'classes'])
  const body = () =>
    inEvalMode(model, async () => {
      const layer = options.layer ?? lastFeatureLayer(model, x)
      const [features, logits] = runFrom(model, layer, x)
      const classes = options.classes
        ? checkClasses(options.classes, logits.shape)
        : Array.from(await logits.argmax(1).data(), Number)
      const chosen = tensor(classes, { dtype: 'int64', device: logits.device }).unsqueeze(1)
      const [gradient] = grad(logits.gather(1, chosen).sum(), [features])
      const maps = noGrad(() => {
        const weights = gradient!.mean([2, 3], { keepdim: true })
        const raw = features.detach().mul(weights).sum(1).relu()
        const largest = raw.flatten(1).max(1).values.clamp(1e-12)
        return raw
          .div(largest.reshape([-1, 1, 1]))
          .to('float32')
          .to('cpu')
          .contiguous()
      })
      return { maps, classes }
    })
  return scope(() => enableGrad(body))
}

/** The features as a leaf, and the logits that the rest of the model makes of them. */
function runFrom(model: AnyModule, layer: nn.Module, x: Tensor): [features: Tensor, logits: Tensor] {
  let features: Tensor | undefined
  const hook = layer.registerForwardHook((_module, _inputs, output) => {
    if (!(output instanceof Tensor) || output.ndim !== 4) {
      throw new ConfigError(
        `gradCam: a ${layer.constructor.name} gives no feature maps [N, C, h, w] to look at; choose another layer`,
      )
    }
    // What comes before the layer needs no gradient: the rest starts from a leaf.
    features = output.detach().requiresGrad_(true)
    return features
  })
  try {
    const logits = model.forward(...([x] as never[])) as Tensor
    if (!features) {
      throw new ConfigError(`gradCam: the model never calls the ${layer.constructor.name} given as layer`)
    }
    if (!(logits instanceof Tensor) || logits.ndim !== 2) {
      throw new ShapeError(
        `gradCam needs a classifier with outputs [N, classes], got ${logits instanceof Tensor ? `[${logits.shape.join(', ')}]` : typeof logits}`,
      )
    }
    return [features, logits]
  } finally {
    hook.remove()
  }
}

function checkClasses(classes: readonly number[], [items, outputs]: readonly number[]): number[] {
  const valid = (label: number) => Number.isInteger(label) && label >= 0 && label < outputs!
  if (classes.length === items && classes.every(valid)) return [...classes]
  throw new ConfigError(
    `gradCam: classes must be ${items} whole numbers from 0 to ${outputs! - 1}, one for each picture, got [${classes.join(', ')}]`,
  )
}

/**
 * Watches one pass of the first picture. Blocks are watched beside their layers: what a block adds to the output of its last layer (the
 * way past a residual branch) counts too, and of those that give the same the outermost ends last.
 */
function lastFeatureLayer(model: AnyModule, x: Tensor): nn.Module {
  let last: nn.Module | undefined
  const hooks = model.modules().map((each) =>
    each.registerForwardHook((module, _inputs, output) => {
      if (output instanceof Tensor && output.ndim === 4 && output.shape[2]! * output.shape[3]! > 1) {
        last = module as nn.Module
      }
    }),
  )
  try {
    noGrad(() => scope(() => void model.forward(...([x.index('0:1')] as never[]))))
  } finally {
    for (const hook of hooks) hook.remove()
  }
  if (last) return last
  throw new ConfigError(
    'gradCam: no layer of the model gives feature maps [N, C, h, w] of more than one pixel',
  )
}
