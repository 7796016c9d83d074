/**
 * `npm run test:calls -- --calls 100000 --seed 1 [--from N] [--asan] [--only REGEXP] [--keep FILE] [--raw] [--verbose]`: everything that
 * can be called, with what makes no sense, in processes of their own; see callsRun.ts. A call is made again with its number:
 * `--seed 1 --from 4711 --calls 1`.
 *
 * What may come out: an AnnealError; a TypeError or RangeError, where a value breaks the rules of JavaScript itself (a getter or proxy
 * that throws, a symbol as a number); an error of Node or the system with a `code`; and what was thrown by a function that was passed in.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { callsRun } from './callsRun.ts'

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
    batch: { type: 'string', default: '1000' },
    workers: { type: 'string', default: '2' },
    only: { type: 'string' },
    keep: { type: 'string' },
    asan: { type: 'boolean', default: false },
    raw: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
})
if (values.asan) {
  const build = fileURLToPath(new URL('../../native/build.mjs', import.meta.url))
  execFileSync(process.execPath, [build, '--sanitize', 'address,undefined'], { stdio: 'inherit' })
}
const seed = Number(values.seed)
const report = await callsRun({
  calls: Number(values.calls),
  seed,
  from: Number(values.from),
  workers: Number(values.workers),
  batch: Number(values.batch),
  asan: values.asan,
  only: values.only,
  verbose: values.verbose,
  fromSources: values.raw,
  progress: (done, findings) => process.stderr.write(`\r${done} calls, ${findings} findings`),
})
process.stderr.write('\n')
const alike = new Map<string, number>()
for (const { number, kind, call, problem } of report.findings) {
  const key = `${kind} ${kind === 'death' || kind === 'hang' ? call.replace(/\(.*/s, '') : problem.slice(0, 80)}`
  alike.set(key, (alike.get(key) ?? 0) + 1)
  if (alike.get(key) === 1)
    console.log(`seed ${seed}, call ${number}, ${kind}: ${call.slice(0, 500)}\n  ${problem}\n`)
}
if (values.raw) {
  const sorted = [...report.raw].sort((a, b) => b[1].count - a[1].count)
  for (const [key, { count, number, call }] of sorted)
    console.log(`${count} × ${key}\n    ${number}: ${call.slice(0, 160)}`)
}
if (values.keep !== undefined) writeFileSync(values.keep, JSON.stringify(report, null, 1))
const made = Object.values(report.counts).reduce((sum, count) => sum + count, 0)
console.log(
  `${Object.keys(report.counts).length} functions called; errors: ${JSON.stringify(report.refused)}`,
)
console.log(`seed ${seed}: ${made} calls, ${report.findings.length} findings of ${alike.size} kinds`)
process.exitCode = report.findings.length > 0 ? 1 : 0
