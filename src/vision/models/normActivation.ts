import type { Tensor } from '../../engine/index.ts'
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

/** normActivation of a convolution's output, which is let go where nobody else sees it. */
export function convNormActivation(
  conv: nn.Module,
  norm: nn.Module,
  activation: nn.Module,
  x: Tensor,
  residual?: Tensor,
): Tensor {
  const convolved = conv.forward(x)
  const out = normActivation(norm, activation, convolved, residual)
  if (convolved !== x && [conv, norm, activation].every(isDiscreet)) letGo(convolved, out)
  return out
}

/**
 * A Sequential that does each batch norm and the ReLU (or ReLU6) behind it in one pass. Names, and so the state dict, are those of a
 * plain Sequential.
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
  for (let index = 0; index < modules.length; index++) {
    const module = modules[index]!
    const next = modules[index + 1]
    const fuses = next && isPlainBatchNorm(module) && (isPlain(next, nn.ReLU) || isPlain(next, nn.ReLU6))
    if (fuses) {
      yield {
        forward: (x) => {
          const out = module.forward(x, { activation: 'relu' })
          return isPlain(next, nn.ReLU6) ? out.clamp(null, 6) : out
        },
        discreet: isDiscreet(module) && isDiscreet(next),
      }
      index++
    } else {
      yield { forward: (x) => module.forward(x), discreet: isDiscreet(module) }
    }
  }
}

/** A hook puts a `forward` of its own in front of the class's. */
function isPlainBatchNorm(module: nn.Module): module is nn.BatchNorm2d & nn.Module {
  return module instanceof nn.BatchNorm2d && module.forward === nn.BatchNorm2d.prototype.forward
}

function isPlain(module: nn.Module, type: typeof nn.ReLU | typeof nn.ReLU6): boolean {
  return module instanceof type && module.forward === type.prototype.forward
}
