/** A device's name by the engine's number for it (native/core/device.h): 0 is the processor, n CUDA's device n - 1. */
export function deviceName(number: number): string {
  return number === 0 ? 'cpu' : `cuda:${number - 1}`
}

/** The number of a device by its name in full. */
export function deviceNumberOf(name: string): number {
  return name === 'cpu' ? 0 : Number(name.slice('cuda:'.length)) + 1
}
