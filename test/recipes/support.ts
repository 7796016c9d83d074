import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { onTestFinished } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

/** Starts a recipe as a user does, in a process of its own. */
export function startRecipe(name: string, args: readonly string[]) {
  const child = spawn(process.execPath, ['--import', 'tsx', join('recipes', `${name}.ts`), ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const output = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text
    })
  }
  const ended = new Promise<Ended>((done, fail) => {
    child.on('error', fail)
    child.on('close', (code) => done({ code, ...output }))
  })
  return { child, ended }
}

export const runRecipe = (name: string, args: readonly string[]): Promise<Ended> =>
  startRecipe(name, args).ended

/** A fresh folder that is removed when the test ends. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'anneal-recipes-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Tiny pictures in `folder/<part>/<class>`: each class has a colour, slightly varied. */
export async function drawColours(
  folder: string,
  parts: Readonly<Record<string, number>>,
  classes: readonly string[] = ['blue', 'red'],
): Promise<void> {
  for (const [part, count] of Object.entries(parts)) {
    for (const [label, name] of classes.entries()) {
      await mkdir(join(folder, part, name), { recursive: true })
      const hue = (360 * label) / classes.length
      for (let i = 0; i < count; i++) {
        const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="36"><rect width="40" height="36" fill="hsl(${hue + (i % 7)},70%,${40 + (i % 5) * 5}%)"/></svg>`
        await sharp(Buffer.from(svg))
          .removeAlpha()
          .jpeg()
          .toFile(join(folder, part, name, `${i}.jpg`))
      }
    }
  }
}
