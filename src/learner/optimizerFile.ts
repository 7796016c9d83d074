import { CheckpointError } from '../engine/errors.ts'
import { noGrad, scope, type Tensor, zerosLike } from '../engine/index.ts'
import type { RawTensor } from '../io/index.ts'
import { tensorFromBytes } from '../io/tensorBytes.ts'
import { Optimizer, type ParamState } from '../optim/Optimizer.ts'
import type { Learner } from './Learner.ts'
import type { LearnerFile } from './learnerFile.ts'
import { anyNumber, mapOf } from './stateChecks.ts'

/** The optimizer's tensors stand beside the model's under `__optimizer__/<parameter>/<key>`, its numbers in the header. */
export const optimizerPrefix = '__optimizer__/'

/** Adds what the optimizer remembers of each parameter, keyed by the parameter's name. */
export async function addOptimizer({ model, optimizer }: Learner, file: LearnerFile): Promise<void> {
  const { inner } = optimizer
  const numbers: Record<string, Record<string, number>> = {}
  file.header.optimizer = inner.constructor.name
  file.header.numbers = numbers
  const reads: Promise<void>[] = []
  for (const [name, parameter] of model.namedParameters()) {
    for (const [key, value] of Object.entries(inner.state.get(parameter) ?? {})) {
      if (typeof value === 'number') numbers[name] = { ...numbers[name], [key]: value }
      else reads.push(addTensor(file, `${optimizerPrefix}${name}/${key}`, value))
    }
  }
  await Promise.all(reads)
}

/** The tensor's value at the time of the call. */
export async function addTensor(file: LearnerFile, name: string, tensor: Tensor): Promise<void> {
  const { dtype, shape } = tensor
  const entry = { dtype, shape: [...shape] }
  // Its place is taken now: the order in a file is that of the calls, not that in which reads come back.
  file.tensors.set(name, { ...entry, data: new Uint8Array(0) })
  file.tensors.set(name, { ...entry, data: await tensor.bytes() })
}

/** What a file holds of the optimizer, by parameter; compared with the Learner, which is not changed yet. */
export interface SavedOptimizer {
  states: Map<Tensor, Record<string, RawTensor | number>>
  /** Parameters in the file that are not trained now. */
  unused: string[]
}

/**
 * @param trained the parameters whose state is wanted
 * @throws CheckpointError if the file is of another optimizer, or shapes differ
 */
export function readOptimizer(
  name: string,
  { model, optimizer }: Learner,
  { header, tensors }: LearnerFile,
  trained: ReadonlySet<Tensor> = new Set(optimizer.parameters()),
): SavedOptimizer {
  const advice = 'Load it with { withOptimizer: false } to have the model alone'
  if (optimizer.inner.constructor.name !== header.optimizer) {
    throw new CheckpointError(
      `${name} has the state of ${header.optimizer}, this Learner optimizes with ${optimizer.inner.constructor.name}. ${advice}`,
    )
  }
  const parameters = new Map<string, Tensor>(model.namedParameters())
  const states: SavedOptimizer['states'] = new Map()
  const unused = new Set<string>()
  const put = (parameterName: string, key: string, value: RawTensor | number) => {
    const parameter = parameters.get(parameterName)
    if (!parameter || !trained.has(parameter)) {
      unused.add(parameterName)
      return
    }
    if (typeof value !== 'number' && value.shape.join() !== parameter.shape.join()) {
      throw new CheckpointError(
        `${name}: the optimizer's ${key} of ${parameterName} is [${value.shape.join(', ')}], the parameter ` +
          `[${parameter.shape.join(', ')}]. ${advice}`,
      )
    }
    states.set(parameter, { ...states.get(parameter), [key]: value })
  }
  mapOf(mapOf(anyNumber))(header.numbers ?? {}, `the optimizer's numbers of ${name}`)
  for (const [parameterName, values] of Object.entries(header.numbers ?? {})) {
    for (const [key, value] of Object.entries(values)) put(parameterName, key, value)
  }
  for (const [path, raw] of tensors) {
    if (!path.startsWith(optimizerPrefix)) continue
    const inner = path.slice(optimizerPrefix.length)
    const slash = inner.lastIndexOf('/')
    put(inner.slice(0, slash), inner.slice(slash + 1), raw)
  }
  const names = new Map([...parameters].map(([parameterName, parameter]) => [parameter, parameterName]))
  if (optimizer.inner instanceof Optimizer) {
    for (const [parameter, state] of states) optimizer.inner.checkRemembered(names.get(parameter)!, state)
  }
  return { states, unused: [...unused] }
}

/** Puts it in place of what the optimizer remembered. */
export function putOptimizer({ optimizer }: Learner, { states }: SavedOptimizer): void {
  optimizer.clear()
  for (const [parameter, state] of states) {
    const own = Object.entries(state).map(([key, value]) => [
      key,
      typeof value === 'number' ? value : tensorLike(parameter, value),
    ])
    optimizer.inner.state.set(parameter, Object.fromEntries(own) as ParamState)
  }
}

/** A tensor of its own laid out as `like`, so that it is walked in the same order as before. */
export function tensorLike(like: Tensor, raw: RawTensor): Tensor {
  return noGrad(() => scope(() => zerosLike(like).copy_(tensorFromBytes(raw, 'a tensor')).keep()))
}
