import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** A file system of its own with little space, which is gone when the test ends. Null where mounting is not allowed. */
export function smallDisk(folder: string, kilobytes = 400): string | null {
  const disk = join(folder, 'disk')
  mkdirSync(disk)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', disk], { stdio: 'ignore' })
  } catch {
    return null
  }
  onTestFinished(() => void execFileSync('umount', ['-l', disk]))
  return disk
}

/** Writes until nothing more goes in. */
export function fillUp(disk: string): void {
  for (let i = 0; ; i++) {
    try {
      writeFileSync(join(disk, `filler-${i}`), Buffer.alloc(4096))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return
      throw error
    }
  }
}

/** From now on nothing can be written, whoever one is. */
export function makeReadOnly(disk: string): void {
  execFileSync('mount', ['-o', 'remount,ro', disk])
}
