// What Anneal takes from the system: how to see whether it is there, and how to install it. Plain JavaScript without
// dependencies, since it runs before there are any.

import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'

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
    return works(name, ['-std=c++17', ...where, '-x', 'c++', '-', '-o', output, ...flags], source)
  } finally {
    fs.rmSync(output, { force: true })
  }
}

function hasCMake() {
  const [, major, minor] = /version (\d+)\.(\d+)/.exec(spawnSync('cmake', ['--version']).stdout) ?? []
  return Number(major) > 3 || (Number(major) === 3 && Number(minor) >= 22)
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

/** What compiling the engine takes. */
export const buildRequirements = [
  { what: 'a C++17 compiler', packages: ['g++'], found: () => links('int main() { return 0; }') },
  { what: 'CMake 3.22 or newer', packages: ['cmake'], found: hasCMake },
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

/** What decoding JPEG files at full speed takes. */
export const jpegRequirement = {
  what: 'libjpeg-turbo (jpeglib.h)',
  packages: ['libjpeg-dev'],
  found: () =>
    links(
      '#include <cstdio>\n#include <jpeglib.h>\nint main() { return &jpeg_crop_scanline == nullptr; }',
      '-ljpeg',
    ),
  optional: true,
  without: 'JPEG pictures will be decoded by sharp, which takes longer',
}

/** What drawing words into figures takes. */
export const fontRequirement = {
  what: 'a font for figures',
  packages: ['fonts-dejavu-core', 'fontconfig-config'],
  found: hasFont,
  optional: true,
  without: 'figures will have no words',
}

/** What the test of the README's page takes. Only .ci/run installs it; elsewhere that test is skipped without it. */
export const browserRequirement = {
  what: 'Chromium',
  packages: ['chromium'],
  found: () => fs.existsSync('/usr/bin/chromium'),
  optional: true,
  without: 'the test of a page in a browser will be skipped',
}

/** Only .ci/run installs it. */
export const cacheRequirement = {
  what: 'ccache',
  packages: ['ccache'],
  found: () => works('ccache', ['--version']),
  optional: true,
  without: 'what is compiled twice will take its time twice',
}

/** Those of the requirements that this machine lacks. */
export const lacking = (requirements) => requirements.filter((requirement) => !requirement.found())

/** Tells what is missing, in a list, and the command that brings it. `why` says why that was not done already. */
export function explain(missing, why) {
  return `Anneal needs, and this machine lacks:
${names(missing)}${why ? `\nIt could not be installed: ${why}.` : ''}
On Debian and Ubuntu:
  sudo apt-get update && sudo apt-get install ${packagesOf(missing)}
Elsewhere install the same with your package manager (set ONEDNN_ROOT if oneDNN is in a place of its own).`
}

/** Installs what is missing where no password is needed for it. Returns what is missing still, and why. */
export function install(missing) {
  const prefix = privilege()
  if (!prefix) {
    const apt = works('apt-get', ['--version'])
    const why = apt
      ? 'that needs root, and sudo asks for a password or is absent'
      : 'apt-get is not available here'
    return { missing, why }
  }
  const packages = packagesOf(missing)
  console.error(`Missing on this machine:\n${names(missing)}\nInstalling ${packages} (apt-get) …`)
  const failure = aptInstall(prefix, packages.split(' '))
  return { missing: lacking(missing), why: failure ?? 'apt-get succeeded, but that did not bring it' }
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
  const attempt = () => apt('install', '-y', '--no-install-recommends', ...packages)
  if (attempt().ok) return undefined
  const update = apt('update')
  const second = attempt()
  if (second.ok) return undefined
  return `apt-get failed.\n${update.ok ? '' : `${update.words}\n`}${second.words}\n`
}
