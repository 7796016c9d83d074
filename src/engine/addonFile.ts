import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

/**
 * The levels of the x86-64 ABI that a portable build has an add-on for, best first, with what they need beyond the
 * baseline, as Linux names it.
 */
const levels = [
  { name: 'v4', flags: ['avx512f', 'avx512bw', 'avx512cd', 'avx512dq', 'avx512vl'] },
  { name: 'v3', flags: ['avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'abm', 'movbe'] },
] as const

/** Which level's add-on a processor with these features can run; null for the baseline. */
export function levelOf(features: ReadonlySet<string>): string | null {
  let best: string | null = null
  for (const { name, flags } of [...levels].reverse()) {
    if (!flags.every((flag) => features.has(flag))) break
    best = name
  }
  return best
}

function processorFeatures(): Set<string> {
  try {
    const line = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))
    return new Set(line?.[1]?.trim().split(/\s+/))
  } catch {
    return new Set() // not Linux: the baseline runs everywhere
  }
}

/**
 * The add-on to load from a folder. A build tuned for its machine has one; a portable build has one for each level, of which
 * this processor's best is taken (`ANNEAL_LEVEL` chooses another, for tests: 'v3', 'v4' or 'baseline').
 */
export function addonFile(folder: string): string {
  const baseline = path.join(folder, 'anneal.node')
  const candidates = levels.map(({ name }) => path.join(folder, `anneal-${name}.node`))
  if (!candidates.some((file) => existsSync(file))) return baseline
  const level = process.env.ANNEAL_LEVEL ?? levelOf(processorFeatures()) ?? 'baseline'
  return level === 'baseline' ? baseline : path.join(folder, `anneal-${level}.node`)
}
