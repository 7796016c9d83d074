import { availableParallelism } from 'node:os'
import { addon, guarded, type MemoryStats } from './addon.ts'
import { show } from './check.ts'
import { deviceNumberOf } from './deviceName.ts'
import { ConfigError, DeviceError } from './errors.ts'

let defaultDevice = 'cpu'

/**
 * Checks a device's name and returns it in full: 'cpu', 'cuda' (which is 'cuda:0'), 'cuda:1' …, or 'auto' for the first CUDA
 * device where there is one that can be used, else the processor.
 * @throws DeviceError that tells what is missing when this build or machine has no such device.
 */
export function device(name: string): string {
  if (typeof name !== 'string') {
    throw new DeviceError(`a device is given by its name, got ${show(name)}; the devices are ${known}`)
  }
  if (name === 'cpu') return 'cpu'
  if (name === 'auto') return cudaWorks() ? 'cuda:0' : 'cpu'
  const ordinal = /^cuda(?::(\d{1,3}))?$/.exec(name)
  if (ordinal) {
    const full = `cuda:${Number(ordinal[1] ?? 0)}`
    guarded(() => addon.openDevice(deviceNumberOf(full)))
    return full
  }
  throw new DeviceError(`unknown device ${JSON.stringify(name)}; the devices are ${known}`)
}

const known = "'cpu', 'cuda', 'cuda:1' … and 'auto'"

function cudaWorks(): boolean {
  if (addon.deviceCount() === 0) return false
  try {
    addon.openDevice(1)
    return true
  } catch {
    return false // no library, or too old a device: whoever asks for 'cuda' is told
  }
}

/** Where new tensors and models go from now on. */
export function setDefaultDevice(name: string): void {
  defaultDevice = device(name)
}

/** The device of new tensors. */
export function getDefaultDevice(): string {
  return defaultDevice
}

/** @internal The engine's number for the device that an option names, or for the default device. */
export function deviceNumber(name?: string): number {
  return deviceNumberOf(name === undefined ? defaultDevice : device(name))
}

/** What the engine's allocator holds on a device; default 'cpu'. */
export function memoryStats(name = 'cpu'): MemoryStats {
  return guarded(() => addon.memoryStats(deviceNumberOf(device(name))))
}

/** Starts measuring `memoryStats().peakBytes` anew, on a device; default 'cpu'. */
export function resetPeakMemory(name = 'cpu'): void {
  guarded(() => addon.resetPeak(deviceNumberOf(device(name))))
}

/** Gives cached memory back to the system, on all devices; waits for the queued work first. */
export function emptyCache(): void {
  guarded(() => addon.emptyCache())
}

/** Blocks until everything enqueued has run; throws the error of an operation that failed. */
export function synchronize(): void {
  guarded(() => addon.synchronize())
}

/** How many threads the kernels use, at most 64 or one per core; the default is one per core. */
export function setNumThreads(count: number): void {
  // OpenMP ends the process where the system has no more threads to give.
  const most = Math.max(64, availableParallelism())
  if (!Number.isInteger(count) || count < 1 || count > most) {
    throw new ConfigError(`setNumThreads: expected a whole number from 1 to ${most}, got ${show(count)}`)
  }
  addon.setThreads(count)
}

/**
 * Whether float32 convolutions and matrix products on CUDA may round their operands to 10 bits of fraction (TF32), which tensor
 * cores multiply several times faster. Off by default: float32 then gives the processor's numbers.
 */
export function allowTf32(allowed = true): void {
  if (typeof allowed !== 'boolean') {
    throw new ConfigError(`allowTf32: expected true or false, got ${show(allowed)}`)
  }
  addon.setTf32(allowed)
  tf32.allowed = allowed
}

/** @internal What was set last; recorded steps keep what they were recorded with. */
export const tf32 = { allowed: false }
