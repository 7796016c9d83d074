import { GradientClipping } from '../../callbacks/GradientClipping.ts'
import { LossScaling, type LossScalingOptions } from '../../callbacks/LossScaling.ts'
import { MixedPrecision } from '../../callbacks/MixedPrecision.ts'
import { MixUpCallback, type MixUpOptions } from '../../callbacks/MixUpCallback.ts'
import { Recorder } from '../../callbacks/Recorder.ts'
import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'
import type * as nn from '../nn/index.ts'
import { Adam } from '../optim/Adam.ts'
import { type Callback, checkCallback } from './Callback.ts'
import { CompiledStep } from './CompiledStep.ts'
import type { BatchLoader, LearnerData } from './data.ts'
import type { Learner } from './Learner.ts'
import { type AnyModule, isBatchNorm, type Split, splitModel } from './layerGroups.ts'
import { type LearnerOptions, learnerOptionNames } from './learnerOptions.ts'
import { type LossFunction, toLoss } from './lossFunction.ts'
import { type LearningRate, lrRange } from './lrRange.ts'
import { type Metric, toMetrics } from './Metric.ts'
import { checkOptimizerOption, type OptimizerOption, OptimizerWrapper } from './OptimizerWrapper.ts'
import { checkNotNegative, rejectUnknownOptions } from './options.ts'

const fastaiAdam: OptimizerOption = (params, options) =>
  new Adam(params, { ...options, betas: [0.9, 0.99], eps: 1e-8 })

/** What a {@link Learner} is made of: its parts, the groups that its model is cut into, and what is frozen. */
export abstract class LearnerBase<Model extends AnyModule = nn.Module> {
  readonly data: LearnerData
  readonly model: Model
  /** May be changed between and, by callbacks, during fits. */
  lossFunction: LossFunction
  readonly metrics: readonly Metric[]
  wd: number
  readonly trueWd: boolean
  readonly bnWd: boolean
  readonly trainBn: boolean
  path: string
  modelDir: string
  /** Callbacks of every fit. Add to it and take from it between fits. */
  readonly callbacks: Callback[]
  /** History of all fits, and their figures. */
  readonly recorder: Recorder
  readonly silent: boolean
  readonly #optimizerOption: OptimizerOption
  #optimizer: OptimizerWrapper | undefined
  #compiled: CompiledStep | undefined
  #layerGroups: nn.Sequential[]

  /** @throws ConfigError for data or a model that is none, unknown options, a missing loss, an unusable optimizer, metrics or callbacks */
  constructor(data: LearnerData, model: Model, options: LearnerOptions = {}) {
    rejectUnknownOptions('Learner', options, learnerOptionNames)
    checkParts(data, model)
    this.data = data
    this.model = model
    if (data.device !== undefined) model.to(data.device)
    this.lossFunction = toLoss(options.lossFunction ?? data.lossFunction)
    this.metrics = toMetrics(options.metrics ?? [])
    this.wd = options.wd ?? 0.01
    checkNotNegative('Learner', 'wd', this.wd)
    this.trueWd = options.trueWd ?? true
    this.bnWd = options.bnWd ?? true
    this.trainBn = options.trainBn ?? true
    this.path = options.path ?? data.path ?? '.'
    this.modelDir = options.modelDir ?? 'models'
    this.callbacks = [...(options.callbacks ?? [])]
    for (const callback of this.callbacks) checkCallback(callback)
    this.silent = options.silent ?? false
    this.recorder = this.makeRecorder()
    this.#optimizerOption = options.optimizer ?? fastaiAdam
    checkOptimizerOption(this.#optimizerOption)
    this.#layerGroups = splitModel(model, options.layerGroups ?? [[model]])
  }

  /** As callbacks and helpers see it: the model's own type is the caller's affair. */
  protected get self(): Learner {
    return this as unknown as Learner
  }

  /** The history; a Learner of another kind may have one of its own. Called when callbacks are known. */
  protected makeRecorder(): Recorder {
    return new Recorder()
  }

  /** The loaders draw their seeds now, in this order: whoever asks one of them later draws nothing, and changes nothing for a fit. */
  protected settleLoaders(): void {
    for (const loader of [this.data.trainDl, this.data.validDl]) loader?.state?.()
  }

  // Layer groups, rates ----------------------------------------------------------------------------------------------

  /** The optimizer over the layer groups: rates, momentum and decay can be read and set. Made when first needed. */
  get optimizer(): OptimizerWrapper {
    this.#optimizer ??= new OptimizerWrapper(this.#optimizerOption, this.#layerGroups, this)
    return this.#optimizer
  }

  /** Whether {@link optimizer} has been made. */
  protected get hasOptimizer(): boolean {
    return this.#optimizer !== undefined
  }

  /** The parts of the model, first to last, that can be frozen and have rates of their own. */
  get layerGroups(): readonly nn.Sequential[] {
    return this.#layerGroups
  }

  /**
   * Cuts the model into layer groups: before each of the given modules, or into given lists of modules.
   * @returns this
   */
  split(where: Split | ((model: Model) => Split)): this {
    this.#layerGroups = splitModel(this.model, typeof where === 'function' ? where(this.model) : where)
    this.#optimizer?.regroup(this.#layerGroups)
    return this
  }

  /** Trains the last layer group only. @throws ConfigError if there is only one */
  freeze(): void {
    if (this.#layerGroups.length < 2) {
      throw new ConfigError(
        'there is one layer group only, and freezing it would leave nothing to train; split the model first',
      )
    }
    this.freezeTo(-1)
  }

  /** Trains all layer groups. */
  unfreeze(): void {
    this.freezeTo(0)
  }

  /**
   * Trains layer groups from `group` on (negative counts from the end) and freezes those before, except their batch norm
   * while `trainBn`. What the optimizer remembers of parameters that stay trainable is kept.
   */
  freezeTo(group: number): void {
    const groups = this.#layerGroups
    const first = group < 0 ? groups.length + group : group
    if (!Number.isInteger(group) || first < 0 || first >= groups.length) {
      throw new ConfigError(
        `freezeTo: group ${group} does not exist; there are ${groups.length}, numbered from 0`,
      )
    }
    for (const [i, leaves] of groups.entries()) {
      for (const leaf of leaves) {
        if (i < first && this.trainBn && isBatchNorm(leaf)) continue
        for (const parameter of leaf.parameters()) parameter.requiresGrad = i >= first
      }
    }
    this.#optimizer?.regroup(groups)
  }

  /** The learning rate of each layer group. `lrRange(slice(1e-5, 1e-3))` of three groups is [1e-5, 1e-4, 1e-3]. */
  lrRange(lr: LearningRate): number[] {
    return lrRange(lr, this.#layerGroups.length)
  }

  /** Clips the gradients' joint norm in every fit from now on; see {@link GradientClipping}. Returns this. */
  clipGrad(clip = 0.1): this {
    this.callbacks.push(new GradientClipping(clip))
    return this
  }

  /** Mixes samples in training from now on; see {@link MixUpCallback}. Returns this. */
  mixup(options: number | MixUpOptions = {}): this {
    this.callbacks.push(new MixUpCallback(options))
    return this
  }

  /** Computes in bfloat16 over float32 weights from now on; see {@link MixedPrecision}. Returns this. */
  toBf16(): this {
    if (!this.callbacks.some((callback) => callback instanceof MixedPrecision)) {
      this.callbacks.push(new MixedPrecision())
    }
    return this
  }

  /**
   * Computes in float16 over float32 weights from now on, with losses scaled so that small gradients do not vanish; see
   * {@link MixedPrecision} and {@link LossScaling}. Returns this.
   */
  toFp16(options: LossScalingOptions = {}): this {
    const scaling = new LossScaling(options)
    this.toFp32().callbacks.push(new MixedPrecision({ dtype: 'float16' }), scaling)
    return this
  }

  /** What {@link compile} has made; undefined while it is off. */
  get compiled(): CompiledStep | undefined {
    return this.#compiled
  }

  /**
   * From now on, forward and backward pass of a training batch are recorded when a batch of its shape comes a second time, and
   * repeated for all that follow: without TypeScript in between, and on CUDA as one graph. Batches of another shape (the last
   * of an epoch) run as before, until theirs comes again. The numbers are the same. `compile(false)` switches it off.
   *
   * What the forward pass does must depend on the shapes of its inputs alone, not on values, nor on numbers that JavaScript
   * draws. A ConfigError refuses a model or a loss that reads values (`item()`, `equal()`) or makes shapes of them (a mask as an
   * index, `nonzero()`, `unique()`).
   *
   * Callbacks may look at everything, and `keep()` the output and the loss: who looks gets copies. Gradients (`param.grad`) and
   * tensors that the forward pass leaves in fields lie in memory of the recording, as with PyTorch's CUDA graphs: the next batch
   * writes there, and `clone()` makes what lasts. `onLossBegin` and `onBackwardBegin`, which come after the passes then, may change
   * nothing (mixed precision and scaled losses are part of the recording). While a hook is registered on a layer, on the loss or on a
   * parameter's gradient, batches run as without `compile()`, since a recording calls no hooks.
   *
   * Each fit records anew. During one, another loss, other parameters to train, and what fields of layers and of the loss hold
   * (modes, numbers, text, tensors, and those in lists of up to 64 and plain objects of up to 32) are noticed: a batch that finds them
   * changed is not repeated from what was recorded before. A field that is different in every batch, such as a counter, leaves nothing
   * to repeat. Fields that the forward pass sets are set by its repetition as well; a tensor that it puts where it has read the one of
   * the batch before is refused with a ConfigError: change a registered buffer in place (`copy_`) instead. What `#private` fields,
   * variables around a function, and objects of other classes hold cannot be seen: it must not change during a fit.
   * @returns this
   */
  compile(enabled = true): this {
    this.#compiled?.dispose()
    this.#compiled = enabled ? new CompiledStep() : undefined
    return this
  }

  /** Undoes {@link toBf16} and {@link toFp16}. Returns this. */
  toFp32(): this {
    const kept = this.callbacks.filter(
      (callback) => !(callback instanceof MixedPrecision || callback instanceof LossScaling),
    )
    this.callbacks.splice(0, this.callbacks.length, ...kept)
    return this
  }
}

/** @throws ConfigError that says what the arguments must be */
function checkParts(data: unknown, model: unknown): void {
  if (typeof (data as LearnerData | null | undefined)?.trainDl?.[Symbol.asyncIterator] !== 'function') {
    throw new ConfigError(
      `the Learner's data must be a DataBunch, or { trainDl, validDl } with loaders; got ${show(data)}` +
        (typeof (data as BatchLoader | null | undefined)?.[Symbol.asyncIterator] === 'function'
          ? ', which is a loader itself: pass { trainDl: loader }'
          : ''),
    )
  }
  const { forward, parameters, modules } = (model ?? {}) as Partial<AnyModule>
  if ([forward, parameters, modules].every((method) => typeof method === 'function')) return
  const isModuleClass =
    typeof model === 'function' && /^class\b/.test(Function.prototype.toString.call(model))
  throw new ConfigError(
    isModuleClass
      ? `the Learner's model is the class ${model.name} itself: construct it with new`
      : `the Learner's model must be an nn.Module, got ${show(model)}: write a class that extends nn.Module and has forward()`,
  )
}
