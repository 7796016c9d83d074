import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { vi } from 'vitest'
import { main } from '../../src/cli/main.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Outcome {
  status: number | null
  stdout: string
  stderr: string
}

/** Runs the command as a user does: the file that package.json names as its bin, in a process of its own. */
export function anneal(
  args: readonly string[],
  { env = {}, cwd }: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Outcome {
  const { NO_COLOR, FORCE_COLOR, ANNEAL_DEBUG, ...rest } = process.env
  const { status, stdout, stderr } = spawnSync(process.execPath, [`${root}/bin/anneal.mjs`, ...args], {
    encoding: 'utf8',
    env: { ...rest, ...env },
    ...(cwd !== undefined && { cwd }),
  })
  return { status, stdout, stderr }
}

/** Runs the command in this process, which is quicker. */
export async function annealHere(args: readonly string[]): Promise<Outcome> {
  const said = { stdout: '', stderr: '' }
  const spies = (['stdout', 'stderr'] as const).flatMap((name) => {
    const write = (text: unknown) => {
      said[name] += String(text)
      return true
    }
    const line = (...texts: unknown[]) => write(`${texts.join(' ')}\n`)
    return [
      vi.spyOn(process[name], 'write').mockImplementation(write),
      vi.spyOn(console, name === 'stdout' ? 'log' : 'error').mockImplementation(line),
    ]
  })
  const before = process.exitCode
  process.exitCode = undefined
  try {
    const status = await main([...args])
    return { status, ...said }
  } finally {
    process.exitCode = before
    for (const spy of spies) spy.mockRestore()
  }
}
