// What compute-sanitizer watches: a process of its own that does a little of everything on a CUDA device.
import { setDefaultDevice, synchronize } from '../../src/index.ts'
import { runEveryFamily } from './everyFamily.ts'

setDefaultDevice('cuda')
const numbers = runEveryFamily()
synchronize()
console.log(
  `${numbers.length} results, ${numbers.filter((number) => !Number.isFinite(number)).length} not finite`,
)
