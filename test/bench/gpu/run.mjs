// `npm run bench:gpu`: training steps on a CUDA device, eager and compiled, beside PyTorch's, eager and compiled, in turns. Prints
// the median of each in milliseconds and PyTorch's over ours; without a device it says so, without a PyTorch that has one it
// measures ours alone. Options: --rounds N (3), --steps N (50), --only CASE, --python COMMAND (python3). What "TF32" is said of
// may round float32 to it in convolutions and products, on both sides; neither does in the rest.

import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { root } from '../../../native/build.mjs'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '50' },
    only: { type: 'string' },
    python: { type: 'string', default: 'python3' },
  },
})
const file = process.env.ANNEAL_ADDON ?? path.join(root, 'build', 'Release', 'anneal.node')
const { devices, problem } = createRequire(import.meta.url)(file).cudaInfo()
if (devices.length === 0) {
  console.log(`no CUDA device: ${problem}. Nothing was measured.`)
  process.exit(0)
}

// A bundle's launcher puts its own libraries first, which are not Python's.
const { ANNEAL_SYSTEM_LIBRARY_PATH: system = process.env.LD_LIBRARY_PATH ?? '' } = process.env
const run = (command, args) => {
  const libraries = command === values.python && { LD_LIBRARY_PATH: system }
  return spawnSync(command, args, { cwd: root, encoding: 'utf8', env: { ...process.env, ...libraries } })
}
const asked = run(values.python, [
  '-c',
  'import torch; print(torch.__version__ if torch.cuda.is_available() else "")',
])
const torch = asked.status === 0 ? asked.stdout.trim() : ''
console.log(`${devices[0].name}; ${torch ? `PyTorch ${torch}` : 'no PyTorch with CUDA to compare with'}`)

const here = path.dirname(new URL(import.meta.url).pathname)
const tsx = path.join(root, 'node_modules', 'tsx', 'dist', 'cli.mjs')
const ours = (mode) => (name, precision) => [
  process.execPath,
  [tsx, path.join(here, 'ours.ts'), name, mode, values.steps, precision],
]
const peer = (mode) => (name, precision) => [
  values.python,
  [path.join(here, 'peer.py'), name, mode, values.steps, precision],
]
const sides = {
  ours: ours('eager'),
  'ours, compiled': ours('compiled'),
  ...(torch && { PyTorch: peer('eager'), 'torch.compile': peer('compiled') }),
}
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1]

let failed = false
const cases = [
  ['resnet18', 'float32'], // under autocast to bfloat16
  ['lenet', 'float32'],
  ...['dcgan16', 'dcgan128'].flatMap((name) => [
    [name, 'tf32'],
    [name, 'float32'],
  ]),
]
for (const [name, precision] of cases.filter(([each]) => !values.only || each === values.only)) {
  const times = Object.fromEntries(Object.keys(sides).map((side) => [side, []]))
  const losses = {}
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [side, command] of Object.entries(sides)) {
      const { status, stdout, stderr } = run(...command(name, precision))
      if (status !== 0) {
        failed = true
        console.error(`${name}, ${side}: ${stderr?.trim().split('\n').at(-1) || `ended with ${status}`}`)
        continue
      }
      const result = JSON.parse(stdout.trim().split('\n').at(-1))
      times[side].push(median(result.times))
      losses[side] = result.loss
    }
  }
  const medians = Object.entries(times).filter(([, list]) => list.length > 0)
  console.log(precision === 'tf32' ? `${name}, TF32` : name)
  for (const [side, list] of medians) {
    console.log(
      `  ${side.padEnd(16)}${median(list).toFixed(3).padStart(10)} ms   loss ${losses[side].toFixed(4)}`,
    )
  }
  for (const [theirs, ours] of [
    ['PyTorch', 'ours'],
    ['PyTorch', 'ours, compiled'],
    ['torch.compile', 'ours, compiled'],
  ]) {
    if (!times[theirs]?.length || !times[ours].length) continue
    console.log(`  ${theirs} / ${ours}: ${(median(times[theirs]) / median(times[ours])).toFixed(2)}`)
  }
}
process.exit(failed ? 1 : 0)
