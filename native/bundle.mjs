#!/usr/bin/env node
// Makes one archive that trains on an x86-64 Linux machine that has nothing but its C library: Node, this library, its
// compiled engine for every level of processor (and for CUDA, where nvcc was found), oneDNN, sharp, the recipes, and the
// tests of the GPU. Unpack it and run ./anneal.
//
//   node native/bundle.mjs [--out FILE] [--addons DIR] [--level 0-9]

import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { BuildError, build, bundleNote, root } from './build.mjs'

const usage = `Usage: node native/bundle.mjs [options]

Makes an archive of everything that training takes, for machines without Node, compiler or network.

  --out FILE     default build/anneal-VERSION-linux-x64.tar.xz
  --addons DIR   take the compiled engine from there instead of building it for every level of processor
  --level 0-9    how hard xz tries (default 9)`

const largest = 60 * 1024 * 1024

/** The compiler's own: a machine's is as good if it is not older, and the only one where ours is too new. */
const ofTheCompiler = /^(libstdc\+\+|libgcc_s)\.so/
const folderOf = (library) => (ofTheCompiler.test(library) ? path.join('lib', 'c++') : 'lib')

/** What the bundle holds of the project's own files. */
const folders = ['bin', 'src', 'callbacks', 'recipes']
const files = [
  'package.json',
  'LICENSE',
  'README.md',
  'tsconfig.json',
  'vitest.config.ts',
  'native/build.mjs',
]
/** The tests that `anneal test-gpu` runs, and the benchmark of `anneal bench-gpu`. */
const tests = [
  ...['gpu', 'parity', 'engine', 'optim', 'nn', 'fixtures', 'bench', 'seeds'],
  ...['learner/compile.test.ts', 'callbacks/LossScaling.test.ts', 'callbacks/MixedPrecision.test.ts'],
  'recipes/support.ts',
]

/** Packages beyond the library's own: what runs TypeScript, and what runs tests. */
const tools = ['tsx', 'vitest']
/** Dependencies that only compile the engine. */
const compileOnly = new Set(['cmake-js', 'node-addon-api', 'node-api-headers'])

/** The machine's own: glibc's parts cannot be taken from one machine to another. */
const ofTheSystem = /^(linux-vdso|ld-linux-x86-64|libc|libm|libdl|librt|libpthread|libcuda|libnvidia.*)\.so/

const launcher = `#!/bin/sh
# Everything this runs on lies beside it.
set -e
case "$0" in */*) here=\${0%/*} ;; *) here=. ;; esac
here=$(cd "$here" && pwd)
# For the Python that bench-gpu compares with: it has libraries of its own.
export ANNEAL_SYSTEM_LIBRARY_PATH="\${LD_LIBRARY_PATH:-}"
system="\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export LD_LIBRARY_PATH="$here/lib/c++:$here/lib$system"
# Figures have words also where the machine has no fonts.
[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_PATH="$here/lib/fonts"
node="$here/lib/node"
# Where the C library is older than this C++ library needs, it has to be the machine's own, which may be new enough.
"$node" --version >/dev/null 2>&1 || LD_LIBRARY_PATH="$here/lib$system"
export TSX_TSCONFIG_PATH="$here/tsconfig.json" # what 'anneal' means in an import
case "\${1:-}" in
  test-gpu) shift; exec "$node" "$here/test/gpu/run.mjs" "$@" ;;
  bench-gpu) shift; exec "$node" "$here/test/bench/gpu/run.mjs" "$@" ;;
  recipe)
    name=\${2:-}
    if [ ! -f "$here/recipes/$name.ts" ]; then
      echo "anneal recipe NAME [options], one of:" >&2
      for file in "$here"/recipes/*.ts; do file=\${file##*/}; echo "  \${file%.ts}" >&2; done
      exit 2
    fi
    shift 2
    exec "$node" --import "file://$here/node_modules/tsx/dist/loader.mjs" "$here/recipes/$name.ts" "$@" ;;
  run)
    shift
    exec "$node" --import "file://$here/node_modules/tsx/dist/loader.mjs" "$@" ;;
  '' | -h | --help)
    "$node" "$here/bin/anneal.mjs" --help
    echo
    echo "In this bundle also: anneal recipe NAME, anneal run FILE.ts (which imports from 'anneal'), anneal test-gpu,"
    echo "anneal bench-gpu" ;;
  *) exec "$node" "$here/bin/anneal.mjs" "$@" ;;
esac
`

const fontconfig = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">.</dir><cachedir>/tmp/anneal-fontconfig</cachedir></fontconfig>
`

function run(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', ...options })
  if (error) throw new BuildError(`${command} could not be run: ${error.message}`)
  if (status !== 0) throw new BuildError(`${command} ${args.join(' ')} failed:\n${stderr}`)
  return stdout
}

/** The shared libraries that a program needs and that have to travel with it, by name. */
function librariesOf(file) {
  const found = new Map()
  for (const line of run('ldd', [file]).split('\n')) {
    const [, name, where] = /^\s*(\S+)(?: => (\S+))?/.exec(line) ?? []
    if (!name || ofTheSystem.test(path.basename(name))) continue
    if (where === 'not') throw new BuildError(`${file} needs ${name}, which is not on this machine`)
    if (where?.startsWith('/')) found.set(name, where)
  }
  return found
}

/** Folders of node_modules that `names` and what they depend on take, as the lockfile has them, for this machine. */
function packagesFor(names) {
  const { packages } = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8'))
  const taken = new Set()
  const resolve = (name, from) => {
    for (let folder = from; ; folder = folder.replace(/\/?node_modules\/(?!.*node_modules\/).*$/, '')) {
      const key = path.posix.join(folder, 'node_modules', name)
      if (packages[key]) return key
      if (folder === '') return undefined
    }
  }
  const visit = (name, from, isOptional) => {
    const key = resolve(name, from)
    if (!key || !fs.existsSync(path.join(root, key))) {
      if (!isOptional) throw new BuildError(`the package ${name} is not installed: run npm ci`)
      return
    }
    if (taken.has(key)) return
    taken.add(key)
    const { dependencies = {}, optionalDependencies = {} } = packages[key]
    for (const each of Object.keys(dependencies)) visit(each, key, false)
    for (const each of Object.keys(optionalDependencies)) visit(each, key, true)
  }
  for (const name of names) visit(name, '', false)
  return [...taken]
}

/** What of a package is of use only to its readers. */
const isReading = (file) =>
  /\.(md|markdown|map|d\.ts|d\.mts|d\.cts|flow)$/i.test(file) && !/licen[cs]e/i.test(file)

function copyPackages(stage) {
  const { dependencies } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
  const own = Object.keys(dependencies).filter((name) => !compileOnly.has(name))
  const keys = packagesFor([...own, ...tools])
  for (const key of keys) {
    const isNested = (file) => file !== path.join(root, key) && file.endsWith('/node_modules')
    fs.cpSync(path.join(root, key), path.join(stage, key), {
      recursive: true,
      filter: (file) => !isNested(file) && !isReading(file),
    })
  }
  return keys.length
}

/** DejaVu, whose licence allows it. */
function copyFonts(folder) {
  const from = '/usr/share/fonts/truetype/dejavu'
  fs.mkdirSync(folder)
  for (const file of ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf']) {
    if (!fs.existsSync(path.join(from, file)))
      throw new BuildError('DejaVu is missing: apt-get install fonts-dejavu-core')
    fs.copyFileSync(path.join(from, file), path.join(folder, file))
  }
  fs.writeFileSync(path.join(folder, 'fonts.conf'), fontconfig)
}

async function makeBundle({ out, addons, level }) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new BuildError('Bundles are made on Linux with an x86-64 processor, for machines of that kind.')
  }
  const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
  const name = `anneal-${version}-linux-x64`
  const archive = path.resolve(out ?? path.join(root, 'build', `${name}.tar.xz`))
  const compiled = addons ?? path.dirname((await build({ portable: true, folder: 'portable' })).addon)
  const engine = fs.readdirSync(compiled).filter((file) => /^anneal(-v\d)?\.node$/.test(file))
  if (engine.length === 0) throw new BuildError(`no anneal.node in ${compiled}`)

  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'anneal-bundle-'))
  try {
    const stage = path.join(work, name)
    const target = (...parts) => path.join(stage, ...parts)
    for (const folder of ['lib/c++', 'build/Release', 'native', 'test'])
      fs.mkdirSync(target(folder), { recursive: true })
    for (const each of [...folders, ...files]) {
      fs.cpSync(path.join(root, each), target(each), { recursive: true })
    }
    for (const each of tests) {
      const from = path.join(root, 'test', each)
      if (!fs.existsSync(from)) continue
      fs.cpSync(from, target('test', each), {
        recursive: true,
        filter: (file) => !file.endsWith('.py') || /bench|gpu/.test(file),
      })
    }
    const packages = copyPackages(stage)

    const libraries = librariesOf(process.execPath)
    for (const file of engine) {
      fs.copyFileSync(path.join(compiled, file), target('build', 'Release', file))
      for (const [library, where] of librariesOf(path.join(compiled, file))) libraries.set(library, where)
    }
    // Debian's oneDNN needs OpenCL's loader, which the walk over ldd has found as well.
    for (const [library, where] of libraries) {
      fs.copyFileSync(fs.realpathSync(where), target(folderOf(library), library))
    }
    fs.copyFileSync(process.execPath, target('lib', 'node'))
    fs.chmodSync(target('lib', 'node'), 0o755)
    const programs = [...libraries.keys(), 'node'].map((file) => target(folderOf(file), file))
    programs.push(...engine.map((file) => target('build', 'Release', file)))
    run('strip', ['--strip-unneeded', ...programs])
    copyFonts(target('lib', 'fonts'))
    fs.writeFileSync(target(path.relative(root, bundleNote)), JSON.stringify({ oneDnnLibrary: 'lib' }))
    fs.writeFileSync(target('anneal'), launcher, { mode: 0o755 })

    fs.mkdirSync(path.dirname(archive), { recursive: true })
    run('tar', ['--sort=name', '--owner=0', '--group=0', '-C', work, '-cf', path.join(work, 'all.tar'), name])
    run('xz', [`-${level}`, '-T1', '--keep', path.join(work, 'all.tar')])
    const bytes = fs.statSync(path.join(work, 'all.tar.xz')).size
    if (bytes > largest)
      throw new BuildError(`the archive has ${(bytes / 2 ** 20).toFixed(1)} MiB; 60 are allowed`)
    fs.copyFileSync(path.join(work, 'all.tar.xz'), archive)
    return { archive, bytes, packages, engine }
  } finally {
    fs.rmSync(work, { recursive: true, force: true })
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      out: { type: 'string' },
      addons: { type: 'string' },
      level: { type: 'string', default: '9' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return console.log(usage)
  if (!/^\d$/.test(values.level)) throw new BuildError(`--level must be 0 to 9, got ${values.level}`)
  const { archive, bytes, packages, engine } = await makeBundle(values)
  const where = path.relative(process.cwd(), archive)
  console.log(`${where}: ${(bytes / 2 ** 20).toFixed(1)} MiB, ${packages} packages, ${engine.join(', ')}`)
}

main().catch((error) => {
  console.error(
    error instanceof BuildError || error.code?.startsWith('ERR_PARSE_ARGS') ? error.message : error,
  )
  process.exitCode = 1
})
