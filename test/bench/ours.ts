// Runs one case and prints one JSON line. Usage: ours.ts CASE [--profile]
import process from 'node:process'
import { cases } from './cases.ts'
import { measure } from './measure.ts'

const [name = '', flag] = process.argv.slice(2)
const chosen = cases[name]
if (!chosen) throw new Error(`no case is called ${JSON.stringify(name)}`)
console.log(JSON.stringify(await measure(chosen, flag === '--profile')))
