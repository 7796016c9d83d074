/** `npm run test:fuzz -- --runs 10000 --seed 1 [--keep FOLDER] [--kinds checkpoint,csv]`: spoilt files for every reader; see fuzzRun.ts. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { fuzzRun } from './fuzzRun.ts'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    keep: { type: 'string' },
    kinds: { type: 'string' },
  },
})
const seed = Number(values.seed)
const alike = new Map<string, number>()
const report = await fuzzRun({
  runs: Number(values.runs),
  seed,
  kinds: values.kinds?.split(','),
  progress: (done, findings) => process.stderr.write(`\r${done} inputs, ${findings} findings`),
  found: ({ target, input, problem, bytes }) => {
    const kind = `${target}: ${problem}`
    alike.set(kind, (alike.get(kind) ?? 0) + 1)
    if (alike.get(kind)! > 1) return
    console.log(`seed ${seed}, input ${input}, ${kind}\n`)
    if (values.keep === undefined) return
    mkdirSync(values.keep, { recursive: true })
    writeFileSync(join(values.keep, `${target.replace(' ', '-')}-${seed}-${input}`), bytes)
  },
})
process.stderr.write('\n')
for (const [target, count] of Object.entries(report.inputs)) {
  console.log(`${target}: ${count} inputs, ${report.refused[target] ?? 0} refused`)
}
console.log(`seed ${seed}: ${report.runs} inputs, ${report.findings.length} findings of ${alike.size} kinds`)
process.exitCode = report.findings.length > 0 ? 1 : 0
