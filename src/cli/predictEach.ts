import type { Learner, Prediction } from '../index.ts'
import { library } from './pictures.ts'

/** What a model makes of a file, or why it makes nothing of it. */
export type FoundPrediction = { file: string } & ({ prediction: Prediction } | { error: Error })

/** All at once, or one by one where one of them cannot be read. */
export async function predictEach(learner: Learner, files: readonly string[]): Promise<FoundPrediction[]> {
  const { AnnealError } = await library()
  try {
    const predictions = await learner.predictAll(files, { batchSize: files.length })
    return files.map((file, i) => ({ file, prediction: predictions[i]! }))
  } catch (error) {
    if (!(error instanceof AnnealError)) throw error
    if (files.length === 1) return [{ file: files[0]!, error }]
  }
  const found: FoundPrediction[] = []
  for (const file of files) found.push(...(await predictEach(learner, [file])))
  return found
}
