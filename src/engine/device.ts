import { addon, guarded, type MemoryStats } from './addon.ts'
import { show } from './check.ts'
import { ConfigError, DeviceError } from './errors.ts'

let defaultDevice = 'cpu'

/**
 * Checks a device's name and returns it in full.
 * @throws DeviceError when this build or machine has no such device.
 */
export function device(name: string): string {
  if (typeof name !== 'string') {
    throw new DeviceError(
      `a device is given by its name, got ${show(name)}; the devices are 'cpu' and 'auto'`,
    )
  }
  if (name === 'cpu' || name === 'auto') return 'cpu'
  if (/^cuda(:\d+)?$/.test(name)) {
    throw new DeviceError(
      `${name} is not available: this build of anneal has no CUDA device. Use 'cpu' or 'auto'`,
    )
  }
  throw new DeviceError(`unknown device ${JSON.stringify(name)}; the devices are 'cpu' and 'auto'`)
}

/** Where new tensors and models go from now on. */
export function setDefaultDevice(name: string): void {
  defaultDevice = device(name)
}

/** The device of new tensors. */
export function getDefaultDevice(): string {
  return defaultDevice
}

/** What the engine's allocator holds. */
export function memoryStats(): MemoryStats {
  return addon.memoryStats()
}

/** Starts measuring `memoryStats().peakBytes` anew. */
export function resetPeakMemory(): void {
  addon.resetPeak()
}

/** Gives cached memory back to the system; waits for the queued work first. */
export function emptyCache(): void {
  guarded(() => addon.emptyCache())
}

/** Blocks until everything enqueued has run; throws the error of an operation that failed. */
export function synchronize(): void {
  guarded(() => addon.synchronize())
}

/** How many threads the kernels use; the default is one per core. */
export function setNumThreads(count: number): void {
  if (!Number.isInteger(count) || count < 1) {
    throw new ConfigError(`setNumThreads: expected a positive integer, got ${show(count)}`)
  }
  addon.setThreads(count)
}
