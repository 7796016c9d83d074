#!/usr/bin/env node
// What `npm test` and `npm run demo` do first: makes sure that everything they need is there, and returns at once when
// it is. Missing system packages are installed where that is possible without asking for a password (Debian and Ubuntu,
// as root or with sudo that asks nothing); otherwise the message names them and the command. Then npm's packages, then
// the native engine. Plain JavaScript without dependencies, since it is what fetches them.

import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { BuildError, build, isBuilt, root } from './build.mjs'
import {
  buildRequirements,
  explain,
  fontRequirement,
  install,
  jpegRequirement,
  lacking,
} from './requirements.mjs'

class SetupError extends Error {}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if ((major === 20 && minor >= 17) || (major === 22 && minor >= 12) || major > 22) return
  throw new SetupError(`Anneal needs Node 20.17 or newer (20, 22, 24); this is ${process.versions.node}.`)
}

function ensureSystem(requirements) {
  const absent = lacking(requirements)
  if (absent.length === 0) return
  const { missing, why } = install(absent)
  if (missing.length === 0) return
  const message = explain(missing, why)
  if (!missing.every((requirement) => requirement.optional))
    throw new SetupError(`${message}\nThen try again.`)
  const losses = missing.map((requirement) => requirement.without).join('; ')
  console.error(`${message}\nGoing on without: ${losses}.\n`)
}

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
  const own = process.env.npm_execpath ?? ''
  const npm = path.basename(own) === 'npm-cli.js' ? [process.execPath, own] : ['npm']
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

async function main() {
  checkNode()
  if (process.platform === 'win32') throw new SetupError('Windows is not supported yet; use Linux, or WSL.')
  const built = isBuilt()
  ensureSystem(built ? [fontRequirement] : [...buildRequirements, jpegRequirement, fontRequirement])
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
