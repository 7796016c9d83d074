import { show } from '../../engine/check.ts'
import { ConfigError } from '../../engine/errors.ts'
import type { Reduction, Tensor } from '../../engine/index.ts'
import { Module } from '../Module.ts'
import { rejectUnknownOptions } from '../options.ts'

export interface LossOptions {
  /** Default 'mean'. */
  reduction?: Reduction
}

const reductions: readonly string[] = ['none', 'mean', 'sum']

/**
 * Base of the losses. Besides computing the loss it knows what the model's raw output means, so that predictions need no
 * guessing: {@link activation} makes probabilities (or whatever people read) of it, {@link decode} the prediction itself.
 * A loss of your own extends this or one of the ready ones. `Inputs` are what `forward` compares, where it is not output and target.
 */
export abstract class Loss<
  Reductions extends string = Reduction,
  Inputs extends readonly Tensor[] = [output: Tensor, target: Tensor],
> extends Module<Inputs> {
  /** How the losses of single elements become the result; may be changed at any time. */
  reduction: Reductions

  /** `moreOptions` names what `options` may hold besides `reduction`. */
  constructor(options: { reduction?: Reductions } = {}, moreOptions: readonly string[] = []) {
    super()
    if (!Array.isArray(moreOptions)) {
      throw new ConfigError(
        `${this.constructor.name}: its own options are a list of names, got ${show(moreOptions)}`,
      )
    }
    rejectUnknownOptions(this.constructor.name, options, ['reduction', ...moreOptions])
    this.reduction = options.reduction ?? ('mean' as Reductions)
    const known = this.knownReductions()
    if (!known.includes(this.reduction)) {
      throw new ConfigError(
        `${this.constructor.name}: unknown reduction ${show(this.reduction)}; choose ${known.join(', ')}`,
      )
    }
  }

  /** The reductions that this loss offers. */
  protected knownReductions(): readonly string[] {
    return reductions
  }

  abstract override forward(...inputs: Inputs): Tensor

  /** What people read of the model's raw output: probabilities for a classifier, the output itself by default. */
  activation(output: Tensor): Tensor {
    return output
  }

  /** The prediction that the model's raw output stands for: the class for a classifier, the output itself by default. */
  decode(output: Tensor): Tensor {
    return output
  }
}
