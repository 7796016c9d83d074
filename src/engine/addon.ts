import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { addonFile } from './addonFile.ts'
import {
  AnnealError,
  ConfigError,
  DeviceError,
  DTypeError,
  KernelError,
  OutOfMemoryError,
  ShapeError,
} from './errors.ts'

/** The native add-on as it presents itself. Handles are small integers; arguments travel in shared arrays. */
export interface Addon {
  readonly args: Float64Array
  readonly kinds: Uint8Array
  readonly results: Float64Array
  /** Handles that are given back before whatever is called next: how many, then they. */
  readonly released: Int32Array
  readonly opNames: readonly string[]
  /**
   * Runs op number `op` on the first `count` arguments; the number of results, or -1 (see takeError). Bits 16 and up are the
   * number of the device on which an op without tensors makes its result. Where there is one result, it is described.
   */
  call(op: number, count: number): number
  takeError(): { kind: number; message: string }
  flushReleased(): void
  /** Writes dtype, dimensions, sizes, strides, offset and device into `results` from 1, and the handle into the last of them. */
  describe(handle: number): void
  fromBytes(bytes: ArrayBufferView, dtype: number, dimensions: number): number
  readSync(handle: number, target: ArrayBufferView): void
  /** True when the values are there already, which is awaited shortly if `patient`; `done` is not called then. */
  readAsync(
    handle: number,
    target: ArrayBufferView,
    patient: boolean,
    done: (error?: NativeError) => void,
  ): boolean
  synchronize(): void
  memoryStats(device: number): MemoryStats
  resetPeak(device: number): void
  emptyCache(): void
  manualSeed(seed: bigint): void
  generatorState(): Uint8Array
  setGeneratorState(state: Uint8Array): void
  sharesStorage(handle: number): boolean
  /** Whether nobody else holds a tensor's memory, and its elements are of another's dtype and in the same order. */
  canStandFor(handle: number, other: number): boolean
  buildInfo(): BuildInfo
  /** Upright size of a JPEG picture, a file's path or what it holds; 0 and 0 for what another decoder must judge. */
  pictureSize(
    source: string | Uint8Array,
    done: (width: number, height: number) => void,
    lane?: number,
    limit?: number,
  ): void
  /** Decodes into `out` what the plan makes of it; false for what another decoder must judge. */
  decodePicture(
    source: string | Uint8Array,
    plan: Float64Array,
    out: Uint8Array,
    done: (good: boolean) => void,
    lane?: number,
    limit?: number,
  ): void
  /** Carries out a plan on RGB bytes, at once or, with `done`, in the background: nobody may touch them meanwhile. */
  resamplePicture(
    pixels: Uint8Array,
    plan: Float64Array,
    out: Uint8Array,
    done?: (good: boolean) => void,
  ): void
  /** Samples RGB bytes as the placement says, at once or, with `done`, in the background. */
  warpPicture(
    pixels: Uint8Array,
    placement: Float64Array,
    nearest: boolean,
    width: number,
    height: number,
    out: Uint8Array,
    done?: (good: boolean) => void,
  ): void
  cudaInfo(): CudaInfo
  /** How many CUDA devices can be seen; 0 without a driver. */
  deviceCount(): number
  /** Throws what keeps a device from being used. */
  openDevice(device: number): void
  /** The kernels of the table that CUDA lacks. */
  missingKernels(): string[]
  /** Whether float32 products and convolutions on CUDA may use TF32. */
  setTf32(allowed: boolean): void
  beginRecording(): void
  /** The number of what was recorded. */
  endRecording(): number
  replay(recording: number): void
  isCaptured(recording: number): boolean
  dropRecording(recording: number): void
  setThreads(count: number): void
  setProfiling(enabled: boolean): void
  profile(): OpTime[]
}

/** What the allocator holds, in bytes. */
export interface MemoryStats {
  /** Held by live tensors. */
  bytesInUse: number
  /** Freed by tensors, kept for reuse; on a GPU also what copies and libraries work in. `emptyCache()` gives it back. */
  bytesCached: number
  /** The highest `bytesInUse` since the start or the last `resetPeakMemory()`. */
  peakBytes: number
  /** Blocks asked from the system so far: constant once a training loop has warmed up. */
  systemAllocations: number
  /** Live tensors. */
  tensors: number
}

/** What an op's kernels took on the engine thread while profiling was on. */
export interface OpTime {
  op: string
  /** Number of runs. */
  count: number
  seconds: number
}

export interface BuildInfo {
  onednn: string
  compiler: string
  threads: number
  /** Whether libjpeg-turbo was found. */
  jpegFound: boolean
  /** Its version, or why there is none. */
  jpeg: string
}

/** What there is of CUDA. */
export interface CudaInfo {
  /** Whether the engine was compiled with nvcc at hand. */
  compiled: boolean
  /** Whether the processor plays the GPU's part, in a build for tests. */
  emulated: boolean
  /** Why there is no device; empty where there is one. */
  problem: string
  devices: { name: string; capability: string; totalBytes: number; freeBytes: number }[]
  /** NVIDIA's libraries: the file that was found, or that there is none. */
  libraries: { name: string; state: string }[]
}

export type NativeError = Error & { kind?: number }

/** Turns a failure of the engine into the class that its kind stands for. */
export function toAnnealError(kind: number | undefined, message: string): AnnealError {
  switch (kind) {
    case 1:
      return new ShapeError(message)
    case 2:
      return new DTypeError(message)
    case 3:
      return new DeviceError(message)
    case 4:
      return new OutOfMemoryError(
        `${message}. Smaller batches or pictures need less; emptyCache() gives cached blocks back`,
      )
    case 5:
      return new KernelError(message)
    default:
      return new AnnealError(message)
  }
}

/** Runs `body`, giving the engine's failures their class. */
export function guarded<T>(body: () => T): T {
  try {
    return body()
  } catch (error) {
    if (error instanceof Error && 'kind' in error) {
      throw toAnnealError((error as NativeError).kind, error.message)
    }
    throw error
  }
}

// The package's root is two folders up from the sources and three from dist/.
function packageRoot(): string {
  let folder = path.dirname(fileURLToPath(import.meta.url))
  while (!existsSync(path.join(folder, 'package.json'))) {
    const parent = path.dirname(folder)
    if (parent === folder)
      throw new ConfigError('the package.json of anneal was not found above its own code')
    folder = parent
  }
  return folder
}

function load(): Addon {
  const file = process.env.ANNEAL_ADDON ?? addonFile(path.join(packageRoot(), 'build', 'Release'))
  if (!existsSync(file)) {
    throw new ConfigError(
      `the native engine has not been built: ${file} is missing.\n` +
        'Build it once with `npx anneal build` (in a checkout of anneal: `npm run build:native`); ' +
        'it needs a C++ compiler, CMake and oneDNN (Debian and Ubuntu: apt-get install g++ cmake libdnnl-dev).',
    )
  }
  // Between ops the team should sleep soon: on few cores JavaScript, decoding and the engine share them.
  process.env.GOMP_SPINCOUNT ??= '20000'
  try {
    return createRequire(import.meta.url)(file) as Addon
  } catch (error) {
    throw new ConfigError(
      `the native engine could not be loaded from ${file}: ${(error as Error).message}\n` +
        'If it was built for another machine or library version, build it again: `npx anneal build --clean`.',
      { cause: error },
    )
  }
}

export const addon: Addon = load()

// Out of the add-on once: it has more properties than V8 finds quickly.
const { results, released } = addon

/** `results` with a tensor's description in them, as `describe` writes it: the one that is there already may be its own. */
export function described(handle: number): Float64Array {
  if (results[results.length - 1] !== handle) addon.describe(handle)
  return results
}

/** Gives a handle back. The engine frees it at whatever it is called for next, which saves a call for each. */
export function release(handle: number): void {
  const count = (released[0] as number) + 1
  released[count] = handle
  released[0] = count
  if (count === released.length - 1) addon.flushReleased()
}

/** The same for what V8 has collected: less than zero, so that the engine tells V8 of the memory that is free now. */
export function releaseCollected(handle: number): void {
  release(-handle)
}

let turn = 0

/** Whoever writes `args` says so first, and is told his turn. */
export function beginArguments(): number {
  return ++turn
}

/** @throws AnnealError where another has written `args` since: a getter that calls the engine while a list is being read. */
export function checkArguments(op: string, begun: number): void {
  if (begun !== turn)
    throw new AnnealError(`${op}: the arguments called the engine while they were being read`)
}
