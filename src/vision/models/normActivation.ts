import type { Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'

/**
 * activation(norm(x) + residual). Batch norm followed by ReLU, what the models here are built of, is done in one pass over
 * memory. Where someone has put another layer in the place of either, or watches one with a hook, each is called
 * by itself: the values are the same.
 */
export function normActivation(norm: nn.Module, activation: nn.Module, x: Tensor, residual?: Tensor): Tensor {
  if (isPlainBatchNorm(norm) && isPlainReLU(activation))
    return norm.forward(x, { activation: 'relu', residual })
  const normalised = norm.forward(x)
  return activation.forward(residual ? normalised.add(residual) : normalised)
}

/**
 * A Sequential that does each batch norm and the ReLU behind it in one pass. Names, and so the state dict, are those of a
 * plain Sequential.
 */
export class FusedSequential extends nn.Sequential {
  override forward(x: Tensor): Tensor {
    const modules = [...this]
    for (let index = 0; index < modules.length; index++) {
      const module = modules[index]!
      const next = modules[index + 1]
      if (next && isPlainBatchNorm(module) && isPlainReLU(next)) {
        x = module.forward(x, { activation: 'relu' })
        index++
      } else {
        x = module.forward(x)
      }
    }
    return x
  }
}

/** A hook puts a `forward` of its own in front of the class's. */
function isPlainBatchNorm(module: nn.Module): module is nn.BatchNorm2d & nn.Module {
  return module instanceof nn.BatchNorm2d && module.forward === nn.BatchNorm2d.prototype.forward
}

function isPlainReLU(module: nn.Module): boolean {
  return module instanceof nn.ReLU && module.forward === nn.ReLU.prototype.forward
}
