import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointError, ConfigError } from '../../engine/errors.ts'
import { nodeChildProcess } from '../../io/builtins.ts'
import { cacheFolder, isOffline } from '../../io/cacheFolder.ts'
import { type DownloadOptions, download } from '../../io/download.ts'
import { packageFolder } from '../../packageFolder.ts'
import { type PretrainedWeights, pretrainedWeights } from './registry.ts'

/** Options of {@link fetchWeights}. */
export interface FetchWeightsOptions extends Pick<DownloadOptions, 'progress'> {}

/** Where the file of published weights is kept once it has been downloaded. */
export function cachedWeights(architecture: string): string {
  return join(cacheFolder(), 'weights', pretrainedWeights(architecture).file)
}

/**
 * Downloads published weights into the cache (see {@link cacheFolder}), unless they are there: with a progress bar on stderr, going on
 * with what an earlier try has received, and with their SHA-256 compared. Processes that want the same file share one download.
 *
 * `ANNEAL_OFFLINE=1` forbids it, `ANNEAL_HUB` names a mirror (or several, between commas) that holds the files under their names, and
 * HTTPS_PROXY and NO_PROXY are followed.
 *
 * @returns the file
 * @throws ConfigError if there are no published weights of `architecture`
 * @throws CheckpointError that says what to do if they cannot be had
 *
 * @example const file = await fetchWeights('resnet18')
 */
export async function fetchWeights(architecture: string, options: FetchWeightsOptions = {}): Promise<string> {
  const known = pretrainedWeights(architecture)
  const file = cachedWeights(architecture)
  if (existsSync(file)) return file
  refuseOffline(known, file)
  const { sha256, bytes } = known
  await download(file, { ...options, urls: placesOf(known), sha256, bytes })
  return file
}

/** As {@link fetchWeights}, but returns only when the file is there: a process of its own downloads it meanwhile. */
export function fetchWeightsSync(architecture: string): string {
  const known = pretrainedWeights(architecture)
  const file = cachedWeights(architecture)
  if (existsSync(file)) return file
  refuseOffline(known, file)
  placesOf(known)
  const command = join(packageFolder(), 'bin', 'anneal.mjs')
  const { status, stdout, error } = nodeChildProcess().spawnSync(
    process.execPath,
    [command, 'download', architecture, '--json', '--quiet'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      encoding: 'utf8',
    },
  )
  if (error)
    throw new CheckpointError(`the weights of ${architecture} cannot be fetched: ${error.message}`, {
      cause: error,
    })
  if (status === 0 && existsSync(file)) return file
  throw new CheckpointError(
    messageIn(stdout) ??
      `the weights of ${architecture} could not be fetched: the download ended with ${status}`,
  )
}

/** What the command says of its failure. */
function messageIn(json: string): string | undefined {
  try {
    return (JSON.parse(json) as { error?: { message?: string } }).error?.message
  } catch {
    return undefined
  }
}

function refuseOffline(known: PretrainedWeights, file: string): void {
  if (!isOffline()) return
  throw new CheckpointError(
    `the weights of ${known.architecture} are not here, and ANNEAL_OFFLINE forbids to fetch them. ` +
      `Put ${known.url} at ${file}, or pass a file of your own as { weights: path }`,
  )
}

/** The mirrors in ANNEAL_HUB, or the publisher's own place. */
function placesOf({ url, file }: PretrainedWeights): string[] {
  const hubs = (process.env.ANNEAL_HUB ?? '').split(',').map((hub) => hub.trim())
  const given = hubs.filter((hub) => hub !== '')
  if (given.length === 0) return [url]
  return given.map((hub) => {
    if (!/^https?:\/\//i.test(hub) || !URL.canParse(hub)) {
      throw new ConfigError(
        `ANNEAL_HUB must name the address of a folder of weights files, as https://mirror.example/models, got ${JSON.stringify(hub)}`,
      )
    }
    return `${hub.replace(/\/+$/, '')}/${file}`
  })
}
