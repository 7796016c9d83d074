// Packs the package as npm would publish it, installs the tarball into an empty project outside the checkout, compiles
// the engine there with `npx anneal build`, and uses it from TypeScript and from plain JavaScript. Takes a few minutes,
// most of them the compiler's; `npm run test:package` runs it, `npm test` does not.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const here = path.dirname(fileURLToPath(import.meta.url))
const root = path.resolve(here, '..', '..')
const project = fs.mkdtempSync(path.join(os.tmpdir(), 'anneal-package-'))
const quiet = ['--no-audit', '--no-fund', '--loglevel=error']

/** Runs a command in `cwd`, expects the exit code, returns what it printed. */
function run(command, args, { cwd = project, expected = 0 } = {}) {
  // Under ccache, what was compiled in the checkout need not be compiled again: its names are taken from here on.
  const env = { ...process.env, CCACHE_BASEDIR: project }
  // npm hands its own settings down; an `npm` started from here must see the project it runs in, not this one.
  for (const name of Object.keys(env))
    if (/^npm_(?!config_(cache|registry|userconfig)$)/i.test(name)) delete env[name]
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8' })
  if (error) throw error
  const output = `${stdout}${stderr}`
  assert.equal(
    status,
    expected,
    `${command} ${args.join(' ')} ended with ${status}, not ${expected}:\n${output}`,
  )
  return { stdout, output }
}

function step(title, work) {
  const started = Date.now()
  work()
  console.log(`${title} (${((Date.now() - started) / 1000).toFixed(1)} s)`)
}

const versionOf = (name) =>
  JSON.parse(fs.readFileSync(path.join(root, 'node_modules', name, 'package.json'), 'utf8')).version

try {
  let tarball
  step('packed', () => {
    const { stdout } = run('npm', ['pack', '--json', '--pack-destination', project, ...quiet], { cwd: root })
    const [packed] = JSON.parse(stdout.slice(stdout.search(/^\[/m)))
    tarball = path.join(project, packed.filename)
    const files = packed.files.map((file) => file.path)
    for (const needed of [
      'bin/anneal.mjs',
      'dist/src/index.js',
      'dist/src/index.d.ts',
      'dist/callbacks/index.js',
      'dist/callbacks/index.d.ts',
      'native/build.mjs',
      'CMakeLists.txt',
      'LICENSE',
      'README.md',
    ]) {
      assert.ok(files.includes(needed), `${needed} is not in the tarball`)
    }
    for (const file of fs.readdirSync(path.join(root, 'native', 'cuda')))
      assert.ok(files.includes(`native/cuda/${file}`), `native/cuda/${file} is not in the tarball`)
    const foreign = files.filter((file) => /^(src|test|recipes|build|node_modules|\.)/.test(file))
    assert.deepEqual(foreign, [], 'files that do not belong into the tarball')
  })

  step('installed without running install scripts', () => {
    fs.cpSync(path.join(here, 'consumer'), project, { recursive: true })
    const dev = ['typescript', '@types/node'].map((name) => `${name}@${versionOf(name)}`)
    run('npm', ['install', '--ignore-scripts', '--prefer-offline', ...quiet, tarball, ...dev])
    assert.ok(
      !fs.existsSync(path.join(project, 'node_modules', 'anneal', 'build')),
      'the install compiled something',
    )
  })

  step('says what to do before the engine is built', () => {
    assert.match(run('npx', ['anneal', '--help']).stdout, /train .*predict .*info .*build /s)
    assert.match(run('npx', ['anneal', 'info']).stdout, /not built; run: npx anneal build/)
    assert.match(run('node', ['plain.mjs'], { expected: 1 }).output, /npx anneal build/)
  })

  step('built', () => {
    // Without CUDA, whose sources have been compiled where they lie: half of the time.
    assert.match(run('npx', ['anneal', 'build', '--cuda', 'off']).stdout, /Built .*anneal\.node/)
    assert.match(run('npx', ['anneal', 'build', '--cuda', 'off']).stdout, /up to date/)
    assert.match(run('npx', ['anneal', 'info']).stdout, /compiled by/)
  })

  step('used from plain JavaScript', () => {
    assert.match(run('node', ['plain.mjs']).stdout, /^ok$/m)
    if (process.features.require_module) assert.match(run('node', ['common.cjs']).stdout, /^ok$/m)
  })

  step('used from the command line', () => {
    fs.writeFileSync(
      path.join(project, 'draw.mjs'),
      `import fs from 'node:fs'
       import { createRequire } from 'node:module'
       const sharp = createRequire(import.meta.resolve('anneal'))('sharp')
       for (const [name, background] of [['blue', '#2040c0'], ['red', '#c04020']])
         for (let i = 0; i < 10; i++) {
           fs.mkdirSync('pictures/' + name, { recursive: true })
           await sharp({ create: { width: 32 + i, height: 32, channels: 3, background } }).png().toFile('pictures/' + name + '/' + i + '.png')
         }`,
    )
    run('node', ['draw.mjs'])
    const quick = [
      '--weights',
      'none',
      '--size',
      '32',
      '--batch-size',
      '8',
      '--lr',
      '1e-3',
      '--head-epochs',
      '1',
    ]
    run('npx', ['anneal', 'train', 'pictures', ...quick, '--epochs', '0', '--out', 'trained', '--onnx'])
    const { stdout } = run('npx', ['anneal', 'predict', 'trained/model.safetensors', 'pictures/red/0.png'])
    assert.match(stdout, /^pictures\/red\/0\.png\t(blue|red)\t[01]\.\d{4}$/m)
    const { output } = run('npx', ['anneal', 'predict', 'missing', 'pictures/red/0.png'], { expected: 1 })
    assert.match(output, /^anneal: missing\.safetensors does not exist/m)
  })

  step('used from TypeScript', () => {
    run('npx', ['tsc', '-p', '.'])
    assert.match(run('node', ['out/typed.js']).stdout, /^ok$/m)
  })
  console.log('the packed package works')
} finally {
  fs.rmSync(project, { recursive: true, force: true })
}
