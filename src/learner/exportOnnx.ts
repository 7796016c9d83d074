import { ConfigError } from '../engine/errors.ts'
import { scope, type Tensor, zeros } from '../engine/index.ts'
import { type ExportOnnxOptions, exportOnnx, type OnnxModule } from '../onnx/index.ts'
import { type LearnerData, tensorsOf } from './data.ts'
import type { Learner } from './Learner.ts'
import { activate } from './lossFunction.ts'

/** Options of `learner.exportOnnx`. The inputs' shape is that of the data, unless given. */
export interface LearnerExportOnnxOptions extends ExportOnnxOptions {
  /** The exported model also does what the loss does with raw outputs: it gives probabilities, not logits. Default false. */
  activate?: boolean
}

/** @returns the file */
export async function exportLearnerOnnx(
  learner: Learner,
  path: string,
  { activate: withActivation = false, ...options }: LearnerExportOnnxOptions,
): Promise<string> {
  const { data, model, lossFunction } = learner
  const module = withActivation ? activated(model, (output) => activate(lossFunction, output)) : model
  const metadata = {
    ...(data.classes && { 'anneal.classes': JSON.stringify(data.classes) }),
    ...options.metadata,
  }
  return scope(async () => {
    const given = options.inputShape !== undefined || options.inputs !== undefined
    const inputs = given ? {} : { inputs: await exampleInputs(data) }
    return exportOnnx(module as OnnxModule, path, { ...inputs, ...options, metadata })
  })
}

/** The model with a function of its output. */
function activated(model: Learner['model'], finish: (output: Tensor) => Tensor): OnnxModule {
  return {
    namedParameters: () => model.namedParameters(),
    namedBuffers: () => model.namedBuffers(),
    modules: () => model.modules(),
    eval: () => model.eval(),
    forward: (...inputs: [Tensor]) => finish(model.forward(...inputs)),
  }
}

/** A batch as the model takes it; its values do not matter. */
async function exampleInputs(data: LearnerData): Promise<readonly Tensor[]> {
  const item = data.describeItem?.()
  if (item?.kind === 'picture' && data.oneItem) {
    const [width, height] = [256, 256]
    const blank = { data: new Uint8Array(3 * width * height), width, height }
    return tensorsOf((await data.oneItem(blank as never)).x)
  }
  if (item?.kind === 'row') {
    const { categorical, continuous } = item.table
    return [zeros([1, categorical.length], { dtype: 'int64' }), zeros([1, continuous.length])]
  }
  const first = await data.oneBatch?.()
  if (first) return tensorsOf(first.x)
  for await (const { x } of data.trainDl) return tensorsOf(x)
  throw new ConfigError(
    'exportOnnx does not know what the model takes, since there is no data: pass { inputShape: [1, …] } or { inputs: […] }',
  )
}
