import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

// Every code block of the README, of CONTRIBUTING.md and of ERRORS.md must run as it stands:
//   ts               a program, type-checked and run; programs of a document share a folder, as a reader's would
//   ts FILE, cpp FILE  an excerpt: each of its lines stands in that file of the repository
//   sh               commands: what they name must exist

const root = fileURLToPath(new URL('../..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>
}

interface Block {
  language: string
  file?: string
  text: string
  line: number
}

function blocksOf(document: string): Block[] {
  const text = readFileSync(join(root, document), 'utf8')
  return [...text.matchAll(/^```(\w+)(?: (\S+))?\n(.*?)^```$/gms)].map((match) => ({
    language: match[1]!,
    ...(match[2] !== undefined && { file: match[2] }),
    text: match[3]!,
    line: text.slice(0, match.index).split('\n').length,
  }))
}

/** Small pictures of discs and squares in the folders that the README's programs read. */
async function drawPictures(folder: string): Promise<void> {
  const shapes = {
    circle: '<circle cx="16" cy="16" r="R"/>',
    square: '<rect x="6" y="6" width="R" height="R"/>',
  }
  for (const part of ['train', 'valid']) {
    for (const [name, shape] of Object.entries(shapes)) {
      mkdirSync(join(folder, part, name), { recursive: true })
      for (let i = 0; i < (part === 'train' ? 16 : 4); i++) {
        const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32">${shape.replaceAll('R', String(6 + i))}</svg>`
        await sharp(Buffer.from(svg))
          .flatten({ background: '#fff' })
          .jpeg()
          .toFile(join(folder, part, name, `${String(i).padStart(4, '0')}.jpg`))
      }
    }
  }
}

describe.each(['README.md', 'CONTRIBUTING.md', 'ERRORS.md'])('%s', (document) => {
  const blocks = blocksOf(document)
  const programs = blocks
    .filter((block) => block.language === 'ts' && block.file === undefined)
    .map((block) => ({ ...block, name: `line${block.line}.ts` }))
  let folder: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'anneal-docs-'))
    await drawPictures(join(folder, 'out', 'demo', 'shapes-150-40-64px-seed42'))
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
    for (const program of programs) writeFileSync(join(folder, program.name), program.text)
    const paths = {
      anneal: [join(root, 'src/index.ts')],
      'anneal/callbacks': [join(root, 'callbacks/index.ts')],
    }
    const tsconfig = {
      extends: join(root, 'tsconfig.json'),
      compilerOptions: { paths, noImplicitOverride: false, noEmit: true },
      include: ['*.ts'],
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const run = (tool: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(join(root, 'node_modules/.bin', tool), args, {
      cwd: folder,
      encoding: 'utf8',
    })
    return { status, output: `${stdout}${stderr}` }
  }

  test('has programs, and they type-check', () => {
    expect(programs.length).toBeGreaterThan(0)
    expect(run('tsc', '--noEmit', '-p', folder)).toEqual({ status: 0, output: '' })
  })

  test.each(programs)('the program at line $line runs', { timeout: 600_000 }, ({ name }) => {
    const { status, output } = run('tsx', name)
    expect(status, output).toBe(0)
  })

  test.each(blocks.filter((block) => block.file !== undefined))(
    'the excerpt of $file at line $line',
    (block) => {
      const source = readFileSync(join(root, block.file!), 'utf8')
        .split('\n')
        .map((line) => line.trim())
      for (const line of block.text.split('\n').map((text) => text.trim())) {
        if (line !== '' && line !== '…') expect(source).toContain(line)
      }
    },
  )

  test('its commands exist', () => {
    const commands = blocks
      .filter((block) => block.language === 'sh')
      .flatMap((block) => block.text.split('\n').map((line) => line.replace(/#.*/, '').trim()))
      .filter((line) => line !== '')
    if (document !== 'ERRORS.md') expect(commands.length).toBeGreaterThan(0)
    for (const command of commands) {
      const script = /^npm (?:run )?([\w:]+)/.exec(command)?.[1]
      if (script !== undefined && script !== 'install')
        expect(manifest.scripts, command).toHaveProperty([script])
      for (const [file] of command.matchAll(/\b[\w./-]+\.(?:ts|mjs|test\.ts)\b/g)) {
        expect(existsSync(join(root, file)), `${command}: ${file}`).toBe(true)
      }
    }
  })
})
