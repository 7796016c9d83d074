import { ConfigError } from '../engine/errors.ts'
import type { Tensor } from '../engine/index.ts'
import * as F from '../nn/functional.ts'
import * as nn from '../nn/index.ts'
import type { Output, Target } from './data.ts'

/**
 * A loss as the Learner takes it: a module of `nn` (or of your own that extends one), which also knows what raw outputs mean,
 * or a plain function of output and target. The functions of `F` stand for their modules.
 *
 * Output and target are tensors, or lists of tensors where the model has several heads or the data several targets; a loss declares
 * which: `(outputs: readonly Tensor[], target: Tensor) => …`.
 */
export type LossFunction = LossModule | ((output: TensorOrList, target: TensorOrList) => Tensor)

/**
 * A parameter of a function of one's own that may declare itself as `Tensor`, as `readonly Tensor[]` or as a tuple of up to eight tensors.
 * Where it declares nothing, it can be used as any of them.
 */
export type TensorOrList = Tensor &
  Tensor[] & { [Place in 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7]: Tensor } & { length: never }

/** What the Learner uses of a loss module. */
export interface LossModule {
  forward(output: TensorOrList, target: TensorOrList): Tensor
  /** What people read of raw outputs. Default: the outputs themselves. */
  activation?(output: TensorOrList): Output
  /** The predictions that raw outputs stand for. Default: the outputs themselves. */
  decode?(output: TensorOrList): Output
  reduction?: string
}

/** How data names the loss that suits its targets. */
export type LossHint = 'crossEntropy' | 'binaryCrossEntropyWithLogits' | 'mseLoss'

const hinted: Readonly<Record<LossHint, () => LossFunction>> = {
  crossEntropy: () => new nn.CrossEntropyLoss(),
  binaryCrossEntropyWithLogits: () => new nn.BCEWithLogitsLoss(),
  mseLoss: () => new nn.MSELoss(),
}

type AnyFunction = (...inputs: never[]) => unknown

const modules: ReadonlyMap<AnyFunction, () => LossModule> = new Map<AnyFunction, () => LossModule>([
  [F.crossEntropy, () => new nn.CrossEntropyLoss()],
  [F.nllLoss, () => new nn.NLLLoss()],
  [F.binaryCrossEntropyWithLogits, () => new nn.BCEWithLogitsLoss()],
  [F.binaryCrossEntropy, () => new nn.BCELoss()],
  [F.klDiv, () => new nn.KLDivLoss()],
  [F.mseLoss, () => new nn.MSELoss()],
  [F.l1Loss, () => new nn.L1Loss()],
  [F.rmseLoss, () => new nn.RMSELoss()],
  [F.smoothL1Loss, () => new nn.SmoothL1Loss()],
  [F.huberLoss, () => new nn.HuberLoss()],
])

/**
 * The loss itself, if it was named.
 * @throws ConfigError if there is none, or it is no loss
 */
export function toLoss(loss: LossFunction | LossHint | undefined): LossFunction {
  if (typeof loss === 'string' && loss in hinted) return hinted[loss]()
  if (loss === undefined || loss === null) {
    throw new ConfigError(
      'the Learner needs a loss: give it { lossFunction: new nn.CrossEntropyLoss() } or another, or data that names one',
    )
  }
  if (typeof loss === 'function' && /^class\b/.test(Function.prototype.toString.call(loss))) {
    throw new ConfigError(`lossFunction is the class ${loss.name} itself: construct it with new`)
  }
  if (typeof loss !== 'function' && typeof (loss as LossModule).forward !== 'function') {
    throw new ConfigError(
      `lossFunction must be a loss module or a function (output, target) => Tensor, got ${String(loss)}`,
    )
  }
  return modules.get(loss as AnyFunction)?.() ?? (loss as LossFunction)
}

export function computeLoss(loss: LossFunction, output: Output, target: Target): Tensor {
  // Lists are the affair of the loss that was chosen for them.
  const given = [output as TensorOrList, target as TensorOrList] as const
  return typeof loss === 'function' ? loss(...given) : loss.forward(...given)
}

/** What people read of raw outputs, as the loss defines it: probabilities for classifiers. */
export function activate(loss: LossFunction, output: Tensor): Tensor
export function activate(loss: LossFunction, output: Output): Output
export function activate(loss: LossFunction, output: Output): Output {
  return typeof loss !== 'function' && loss.activation ? loss.activation(output as TensorOrList) : output
}

/** The predictions that raw outputs stand for, as the loss defines it. */
export function decode(loss: LossFunction, output: Tensor): Tensor
export function decode(loss: LossFunction, output: Output): Output
export function decode(loss: LossFunction, output: Output): Output {
  return typeof loss !== 'function' && loss.decode ? loss.decode(output as TensorOrList) : output
}

/**
 * Runs `fn` while the loss gives one value for each element.
 * @throws ConfigError if it cannot
 */
export function withoutReduction<Result>(loss: LossFunction, fn: () => Result): Result {
  if (typeof loss === 'function' || loss.reduction === undefined) {
    throw new ConfigError(
      "losses of single items need a loss with a reduction, as those of nn have; a plain function gives a batch's only",
    )
  }
  const { reduction } = loss
  loss.reduction = 'none'
  try {
    return fn()
  } finally {
    loss.reduction = reduction
  }
}
