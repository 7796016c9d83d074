/** `npm run test:soak -- --steps 20000 --minutes 0 --seed 1 --gc both`: long trainings, and what they leave behind; see soakRun.ts. */
import { parseArgs } from 'node:util'
import { residentBound, soakRun } from './soakRun.ts'

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '20000' },
    minutes: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    /** 'forced', 'free' or 'both', one after the other. */
    gc: { type: 'string', default: 'both' },
    verbose: { type: 'boolean', default: false },
  },
})
const modes = values.gc === 'both' ? ['forced', 'free'] : [values.gc]
const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
for (const mode of modes) {
  const report = await soakRun({
    steps: Number(values.steps),
    minutes: Number(values.minutes),
    seed: Number(values.seed),
    collect: mode === 'forced',
    ...(values.verbose && { onSample: (sample) => console.log(JSON.stringify(sample)) }),
  })
  const { resident, beside, tensorBytes, tensors, files, threads, last, grown } = report
  console.log(
    `seed ${values.seed}, garbage collection ${mode}: ${report.steps} steps in ${report.minutes.toFixed(1)} min, ${report.samples} samples after warm-up\n` +
      `  resident memory ${resident.slope.toFixed(1)} ± ${resident.noise.toFixed(1)} bytes a step (allowed: ${residentBound} beyond noise), ${megabytes(last.resident)} in the end\n` +
      `  beside V8's heap ${beside.slope.toFixed(1)} ± ${beside.noise.toFixed(1)} bytes a step\n` +
      `  tensors ${tensorBytes.slope.toFixed(2)} ± ${tensorBytes.noise.toFixed(2)} bytes a step; at most ${tensors[0]}, then ${tensors[1]} alive\n` +
      `  at most ${files[0]}, then ${files[1]} open files; ${last.threads} threads in the end, ${(1000 * threads.slope).toFixed(2)} ± ${(1000 * threads.noise).toFixed(2)} more in 1000 steps\n` +
      (grown.length === 0 ? '  nothing grew' : `  GROWN: ${grown.join('; ')}`),
  )
  if (grown.length > 0) process.exitCode = 1
}
