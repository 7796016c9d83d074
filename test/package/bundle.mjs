// Unpacks the bundle that `npm run bundle` made into an empty root, which has the C library, a shell and nothing else (no
// Node, no compiler, no network), and uses it there. Needs root, for chroot. `npm run test:bundle [ARCHIVE]`.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const checkout = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..')
const { version } = JSON.parse(fs.readFileSync(path.join(checkout, 'package.json'), 'utf8'))
const archive = process.argv[2] ?? path.join(checkout, 'build', `anneal-${version}-linux-x64.tar.xz`)
if (process.getuid() !== 0) {
  console.error('chroot needs root; nothing was checked')
  process.exit(1)
}
const root = fs.mkdtempSync(path.join(os.tmpdir(), 'anneal-empty-root-'))

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (error) throw error
  return { status, output: `${stdout}${stderr}` }
}

/** Runs a command line in the empty root, without network, expects its exit code and returns what it printed. */
function inside(line, expected = 0) {
  const started = Date.now()
  const shell = [
    'chroot',
    root,
    '/bin/sh',
    '-c',
    `unset NODE_OPTIONS NODE_EXTRA_CA_CERTS; export PATH=/bin HOME=/home TMPDIR=/tmp; ${line}`,
  ]
  const { status, output } = run('unshare', ['--net', ...shell])
  assert.equal(status, expected, `${line} ended with ${status}, not ${expected}:\n${output}`)
  console.log(`${line.replace(/^cd \S+ && /, '')} (${((Date.now() - started) / 1000).toFixed(1)} s)`)
  return output
}

/** A program with the parts of the C library that it needs. */
function install(program) {
  const { output } = run('ldd', [program])
  const parts = [...output.matchAll(/(\/\S+\.so\S*)/g)].map(([, file]) => file)
  for (const file of [program, ...parts]) {
    const to = path.join(root, file === program ? path.join('/bin', path.basename(program)) : file)
    fs.mkdirSync(path.dirname(to), { recursive: true })
    fs.copyFileSync(fs.realpathSync(file), to)
  }
}

let mounted = false
try {
  for (const folder of ['bin', 'tmp', 'home', 'dev', 'proc']) fs.mkdirSync(path.join(root, folder))
  install('/bin/sh')
  // The rest of the C library, which every Linux has.
  const folder = '/lib/x86_64-linux-gnu'
  for (const name of [
    'libc.so.6',
    'libm.so.6',
    'libdl.so.2',
    'libpthread.so.0',
    'librt.so.1',
    'libresolv.so.2',
  ]) {
    fs.mkdirSync(path.join(root, folder), { recursive: true })
    fs.copyFileSync(fs.realpathSync(path.join(folder, name)), path.join(root, folder, name))
  }
  assert.equal(
    run('mount', ['-t', 'proc', 'proc', path.join(root, 'proc')]).status,
    0,
    'proc was not mounted',
  )
  mounted = true
  for (const [name, minor] of [
    ['null', '3'],
    ['urandom', '9'],
  ]) {
    assert.equal(run('mknod', ['-m', '666', path.join(root, 'dev', name), 'c', '1', minor]).status, 0)
  }
  assert.equal(run('tar', ['-C', path.join(root, 'home'), '-xf', archive]).status, 0, 'tar failed')
  const home = `cd /home/anneal-${version}-linux-x64`

  inside('command -v node || command -v python3 || command -v cc', 127)
  assert.match(inside(`${home} && ./anneal --help`), /train .*test-gpu/s)
  assert.match(inside(`${home} && ./anneal info`), /oneDNN/)
  const told = inside(`${home} && ./anneal recipe`, 2)
  assert.match(told, /transfer-resnet18/)
  assert.match(inside(`${home} && ./anneal recipe demo --help`), /Draws pictures/)
  const pictures = './anneal recipe demo --train 40 --valid 10 --epochs 1 --out /tmp/demo'
  assert.match(inside(`${home} && ${pictures}`, 1), /less than the 95 %/) // one epoch is not enough
  const shapes = '/tmp/demo/shapes-40-10-48px-seed42'
  const train = `./anneal train ${shapes} --weights none --size 32 --head-epochs 1 --epochs 1 --out /tmp/out --json`
  assert.match(inside(`${home} && ${train}`), /accuracy/)
  assert.match(
    inside(`${home} && ./anneal predict /tmp/out/model.safetensors ${shapes}/valid/circle/0000.jpg`),
    /circle/,
  )
  const program =
    "import { tensor } from 'anneal'; const sum: number = tensor([1, 2]).sum().item(); console.log(sum)"
  fs.writeFileSync(path.join(root, 'tmp', 'mine.ts'), program)
  assert.match(inside(`${home} && ./anneal run /tmp/mine.ts`), /^3$/m)
  assert.match(inside(`${home} && ./anneal test-gpu --quick`), /no CUDA device/)
  console.log('the bundle works in an empty root')
} finally {
  if (mounted) run('umount', [path.join(root, 'proc')])
  fs.rmSync(root, { recursive: true, force: true })
}
