/** Weights files and files written whole or not at all. */
export { type AtomicContent, type AtomicWriteOptions, writeFileAtomic } from './atomicFile.ts'
export { cacheFolder } from './cacheFolder.ts'
export { openWeightsFile, type ReadWeightsOptions, type WeightsFile } from './openWeightsFile.ts'
export { writePthFile } from './pthWriter.ts'
export type { RawTensor, StoredDType, TensorInfo } from './rawTensor.ts'
export { type TensorToWrite, writeSafetensorsFile } from './safetensors.ts'
export {
  type LoadWeightsOptions,
  loadWeights,
  loadWeightsSync,
  readSafetensors,
  readStateDict,
  type SafetensorsContent,
  type SaveWeightsOptions,
  saveWeights,
  type WeightsModel,
  writeSafetensors,
} from './weights.ts'
