import type { Tensor } from '../../engine/index.ts'
import { cap } from '../../engine/ops/activation.ts'
import { convNorm } from '../../engine/ops/convNorm.ts'
import * as nn from '../../nn/index.ts'
import { isDiscreet, letGo, markDiscreet, runSteps, type Step } from '../../nn/passing.ts'

/**
 * activation(norm(x) + residual). Batch norm followed by ReLU, what the models here are built of, is done in one pass over
 * memory. Where someone has put another layer in the place of either, or watches one with a hook, each is called
 * by itself: the values are the same.
 */
export function normActivation(norm: nn.Module, activation: nn.Module, x: Tensor, residual?: Tensor): Tensor {
  if (isPlainBatchNorm(norm) && isPlain(activation, nn.ReLU))
    return norm.forward(x, { activation: 'relu', residual })
  const normalised = norm.forward(x)
  return activation.forward(residual ? normalised.add(residual) : normalised)
}

/** normActivation of a convolution's output, which is let go where nobody else sees it, or never made (see {@link convNorm}). */
export function convNormActivation(
  conv: nn.Module,
  norm: nn.Module,
  activation: nn.Module,
  x: Tensor,
  residual?: Tensor,
): Tensor {
  if (isPlainConvolution(conv) && isPlainBatchNorm(norm) && isPlain(activation, nn.ReLU))
    return normalisedConvolution(conv, norm, x, { activation: 'relu', ...(residual && { residual }) })
  const convolved = conv.forward(x)
  const out = normActivation(norm, activation, convolved, residual)
  if (convolved !== x && [conv, norm, activation].every(isDiscreet)) letGo(convolved, out)
  return out
}

/** norm(conv(x)): in inference at once. */
function normalisedConvolution(
  conv: nn.Conv2d,
  norm: nn.BatchNorm2d,
  x: Tensor,
  fusion: nn.BatchNormFusion = {},
): Tensor {
  const { runningMean, runningVar } = norm
  if (!norm.training && norm.trackRunningStats && runningMean && runningVar) {
    const { weight, bias, eps } = norm
    const { activation, residual } = fusion
    const options = { relu: activation === 'relu', ...(residual && { residual }) }
    const out = convNorm(x, conv, { weight, bias, runningMean, runningVar, eps }, options)
    if (out !== null) return out
  }
  const convolved = conv.forward(x)
  const out = norm.forward(convolved, fusion)
  if (isDiscreet(conv) && isDiscreet(norm)) letGo(convolved, out)
  return out
}

/**
 * A Sequential that does each batch norm and the ReLU (or ReLU6) behind it in one pass, in inference with the convolution before
 * it. Names, and so the state dict, are those of a plain Sequential.
 */
export class FusedSequential extends nn.Sequential {
  override forward(x: Tensor): Tensor {
    return fusedThrough([...this], x)
  }
}

markDiscreet(FusedSequential)

/** `x` through modules in a row, with each batch norm and the ReLU (or ReLU6) behind it in one pass. */
export function fusedThrough(modules: readonly nn.Module[], x: Tensor): Tensor {
  return runSteps(fusedSteps(modules), x)
}

function* fusedSteps(modules: readonly nn.Module[]): Generator<Step> {
  for (let index = 0; index < modules.length; ) {
    const first = modules[index]!
    const conv = isPlainConvolution(first) ? first : undefined
    const norm = conv ? modules[index + 1] : first
    if (!norm || !isPlainBatchNorm(norm)) {
      yield { forward: (x) => first.forward(x), discreet: isDiscreet(first) }
      index++
      continue
    }
    const behind = modules[index + (conv ? 2 : 1)]
    const clamped = behind !== undefined && isPlain(behind, nn.ReLU6)
    const activation = clamped || (behind !== undefined && isPlain(behind, nn.ReLU)) ? behind : undefined
    const fusion: nn.BatchNormFusion = activation ? { activation: 'relu' } : {}
    const together = [conv, norm, activation].filter((module) => module !== undefined)
    yield {
      forward: (x) => {
        const out = conv ? normalisedConvolution(conv, norm, x, fusion) : norm.forward(x, fusion)
        return clamped ? cap(out, 6) : out
      },
      discreet: together.every(isDiscreet),
    }
    index += together.length
  }
}

/** A hook puts a `forward` of its own in front of the class's. */
function isPlainBatchNorm(module: nn.Module): module is nn.BatchNorm2d & nn.Module {
  return module instanceof nn.BatchNorm2d && module.forward === nn.BatchNorm2d.prototype.forward
}

function isPlainConvolution(module: nn.Module): module is nn.Conv2d {
  return module instanceof nn.Conv2d && module.forward === nn.Conv2d.prototype.forward
}

function isPlain(module: nn.Module, type: typeof nn.ReLU | typeof nn.ReLU6): boolean {
  return module instanceof type && module.forward === type.prototype.forward
}
