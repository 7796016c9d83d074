#!/usr/bin/env node
// What `npm test` and `npm run demo` do first: makes sure that everything they need is there, and returns at once when
// it is. Missing system packages are installed where that is possible without asking for a password (Debian and Ubuntu,
// as root or with sudo that asks nothing); otherwise the message names them and the command. Then npm's packages, then
// the native engine. Plain JavaScript without dependencies, since it is what fetches them.

import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { BuildError, build, isBuilt, root } from './build.mjs'

class SetupError extends Error {}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if ((major === 20 && minor >= 17) || (major === 22 && minor >= 12) || major > 22) return
  throw new SetupError(`Anneal needs Node 20.17 or newer (20, 22, 24); this is ${process.versions.node}.`)
}

// --- system packages ---------------------------------------------------------------------------------------------

const works = (command, args, input) =>
  spawnSync(command, args, { input, stdio: ['pipe', 'ignore', 'ignore'] }).status === 0

const compiler = () =>
  [process.env.CXX, 'c++', 'g++', 'clang++'].find((name) => name && works(name, ['--version']))

/** Compiles and links a few lines: that says more than looking for files in the usual places. */
function links(source, ...flags) {
  const name = compiler()
  if (!name) return false
  const prefix = process.env.ONEDNN_ROOT ?? process.env.DNNLROOT
  const where = prefix ? [`-I${prefix}/include`, `-L${prefix}/lib`, `-L${prefix}/lib64`] : []
  const output = path.join(os.tmpdir(), `anneal-probe-${process.pid}`)
  try {
    return works(name, ['-std=c++20', ...where, '-x', 'c++', '-', '-o', output, ...flags], source)
  } finally {
    fs.rmSync(output, { force: true })
  }
}

function hasFont() {
  if (process.platform !== 'linux') return true
  const home = os.homedir()
  const folders = [
    '/usr/share/fonts',
    '/usr/local/share/fonts',
    `${home}/.fonts`,
    `${home}/.local/share/fonts`,
  ]
  const holdsFont = (folder, depth = 0) =>
    fs.existsSync(folder) &&
    fs.readdirSync(folder, { withFileTypes: true }).some((entry) => {
      if (entry.isDirectory()) return depth < 4 && holdsFont(path.join(folder, entry.name), depth + 1)
      return /\.(ttf|otf|ttc|pfb)$/i.test(entry.name)
    })
  return fs.existsSync('/etc/fonts/fonts.conf') && folders.some((folder) => holdsFont(folder))
}

const buildRequirements = [
  { what: 'a C++20 compiler', packages: ['g++'], found: () => links('int main() { return 0; }') },
  { what: 'CMake 3.22 or newer', packages: ['cmake'], found: () => works('cmake', ['--version']) },
  {
    what: 'a build tool (ninja or make)',
    packages: ['ninja-build'],
    found: () => ['ninja', 'make'].some((name) => works(name, ['--version'])),
  },
  {
    what: 'OpenMP',
    packages: ['g++'],
    found: () => links('#include <omp.h>\nint main() { return omp_get_max_threads() < 1; }', '-fopenmp'),
  },
  {
    what: 'oneDNN (oneapi/dnnl/dnnl.h and libdnnl)',
    packages: ['libdnnl-dev'],
    found: () =>
      links('#include <oneapi/dnnl/dnnl.h>\nint main() { return dnnl_version() == nullptr; }', '-ldnnl'),
  },
]

const fontRequirement = {
  what: 'a font for figures',
  packages: ['fonts-dejavu-core', 'fontconfig-config'],
  found: hasFont,
  optional: true, // without one everything works, but figures have no words
}

function ensureSystem(requirements) {
  let missing = requirements.filter((requirement) => !requirement.found())
  if (missing.length === 0) return
  let reason = works('apt-get', ['--version'])
    ? 'that needs root, and sudo asks for a password or is absent'
    : 'apt-get is not available here'
  const prefix = privilege()
  if (prefix) {
    console.error(
      `Missing on this machine:\n${names(missing)}\nInstalling ${packagesOf(missing)} (apt-get) …`,
    )
    const failure = aptInstall(prefix, packagesOf(missing).split(' '))
    missing = missing.filter((requirement) => !requirement.found())
    if (missing.length === 0) return
    reason = failure ?? 'apt-get succeeded, but that did not bring it'
  }
  const message = `Anneal needs, and this machine lacks:
${names(missing)}
It could not be installed: ${reason}.
On Debian and Ubuntu:
  sudo apt-get update && sudo apt-get install ${packagesOf(missing)}
Elsewhere install the same with your package manager (set ONEDNN_ROOT if oneDNN is in a place of its own).`
  if (!missing.every((requirement) => requirement.optional))
    throw new SetupError(`${message}\nThen try again.`)
  console.error(`${message}\nGoing on without it: figures will have no words.\n`)
}

const names = (requirements) => requirements.map((requirement) => `  - ${requirement.what}`).join('\n')

const packagesOf = (requirements) => [...new Set(requirements.flatMap(({ packages }) => packages))].join(' ')

/** What to put before apt-get: nothing as root, sudo where it asks for no password; undefined where neither will do. */
function privilege() {
  if (process.platform !== 'linux' || !works('apt-get', ['--version'])) return undefined
  if (process.getuid() === 0) return []
  return works('sudo', ['-n', 'true']) ? ['sudo', '-n'] : undefined
}

/** Returns why it failed, or undefined. Package lists are fetched only when the install does not succeed with those present. */
function aptInstall(prefix, packages) {
  const apt = (...args) => {
    const [command, ...rest] = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', ...args]
    const result = spawnSync(command, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    return { ok: result.status === 0, words: `${result.stdout}${result.stderr}`.trim() }
  }
  const install = () => apt('install', '-y', '--no-install-recommends', ...packages)
  if (install().ok) return undefined
  const update = apt('update')
  const second = install()
  if (second.ok) return undefined
  return `apt-get failed.\n${update.ok ? '' : `${update.words}\n`}${second.words}\n`
}

// --- npm's packages ----------------------------------------------------------------------------------------------

/** Compares what the lockfile asks for with what npm noted of its last install, and looks that the folders are there. */
function packagesMatch() {
  const noted = path.join(root, 'node_modules', '.package-lock.json')
  if (!fs.existsSync(noted)) return false
  const wanted = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8')).packages
  const present = JSON.parse(fs.readFileSync(noted, 'utf8')).packages
  return Object.entries(wanted).every(([name, entry]) => {
    if (name === '') return true
    if (!present[name]) return entry.optional // as a rule one that is for other machines
    return present[name].version === entry.version && fs.existsSync(path.join(root, name))
  })
}

function ensurePackages() {
  if (packagesMatch()) return
  console.error('Installing npm packages (npm ci) …')
  // Under `npm test` this is npm's own file; a Node without npm on its PATH then works too.
  const npm = process.env.npm_execpath?.endsWith('.js')
    ? [process.execPath, process.env.npm_execpath]
    : ['npm']
  const [command, ...before] = npm
  // Spoken out, since NODE_ENV=production would leave out what the tests run on.
  const args = [
    ...before,
    'ci',
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (result.status !== 0) throw new SetupError('npm ci failed; its words are above. Nothing was built.')
}

// -----------------------------------------------------------------------------------------------------------------

async function main() {
  checkNode()
  if (process.platform === 'win32') throw new SetupError('Windows is not supported yet; use Linux, or WSL.')
  const built = isBuilt()
  ensureSystem(built ? [fontRequirement] : [...buildRequirements, fontRequirement])
  ensurePackages()
  if (built) return
  const { seconds } = await build()
  console.error(`Native engine built in ${seconds.toFixed(0)} s.`)
}

main().catch((error) => {
  const known = error instanceof SetupError || error instanceof BuildError
  console.error(known ? error.message : error)
  process.exitCode = 1
})
