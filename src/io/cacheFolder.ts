import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { ConfigError } from '../engine/errors.ts'

/**
 * The folder of what is fetched once and kept: `ANNEAL_CACHE`, else `anneal` below `XDG_CACHE_HOME`, else `~/.cache/anneal`. It may
 * be deleted at any time.
 */
export function cacheFolder(): string {
  const { ANNEAL_CACHE, XDG_CACHE_HOME } = process.env
  if (ANNEAL_CACHE) return ANNEAL_CACHE
  // The specification says that paths which are not absolute do not count.
  if (XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME)) return join(XDG_CACHE_HOME, 'anneal')
  return join(homedir(), '.cache', 'anneal')
}

/** Whether `ANNEAL_OFFLINE` forbids the network. @throws ConfigError for a value that says neither */
export function isOffline(): boolean {
  const value = (process.env.ANNEAL_OFFLINE ?? '').toLowerCase()
  if (['1', 'true', 'yes', 'on'].includes(value)) return true
  if (['', '0', 'false', 'no', 'off'].includes(value)) return false
  throw new ConfigError(`ANNEAL_OFFLINE must be 1 or 0, got ${JSON.stringify(process.env.ANNEAL_OFFLINE)}`)
}
