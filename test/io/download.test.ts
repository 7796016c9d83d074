import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test, vi } from 'vitest'
import { CheckpointError, ConfigError } from '../../src/engine/errors.ts'
import { type DownloadOptions, download } from '../../src/io/download.ts'
import { FileLock } from '../../src/io/FileLock.ts'
import { fillUp, smallDisk } from '../learner/smallDisk.ts'
import { rangeStart, sendAndCut, sendFile, serve, serveProxy } from './fileServer.ts'
import { temporaryFolder } from './temporaryFolder.ts'

const content = randomBytes(300_000)
const sha256 = createHash('sha256').update(content).digest('hex')
const quick = { sha256, retries: 2, retryDelay: 5, progress: null } satisfies Partial<DownloadOptions>

async function target(): Promise<{ folder: string; file: string; part: string }> {
  const folder = `${await temporaryFolder()}/cache`
  return { folder, file: `${folder}/weights.pth`, part: `${folder}/.weights.pth.part` }
}

async function failure(work: Promise<unknown>): Promise<Error> {
  const error = await work.then(
    () => new Error('nothing was thrown'),
    (thrown: Error) => thrown,
  )
  expect(error).toBeInstanceOf(CheckpointError)
  return error
}

describe('download', () => {
  test('the file is there, whole and alone, and is not fetched twice', async () => {
    const { url, heard } = await serve((request, response) => sendFile(request, response, content))
    const { folder, file } = await target()
    const options = { ...quick, urls: [`${url}/w`] }
    await Promise.all([download(file, options), download(file, options)])
    await download(file, options)
    expect((await readFile(file)).equals(content)).toBe(true)
    expect(await readdir(folder)).toEqual(['weights.pth'])
    expect(heard).toEqual([{ path: '/w', range: undefined }])
  })

  test('the first eight digits of the checksum do where no more are known', async () => {
    const { url } = await serve((request, response) => sendFile(request, response, content))
    const { file } = await target()
    await download(file, { ...quick, urls: [url], sha256: sha256.slice(0, 8).toUpperCase() })
    expect(existsSync(file)).toBe(true)
  })

  test('what an earlier run left is gone on with', async () => {
    const { url, heard } = await serve((request, response) => sendFile(request, response, content))
    const { folder, file, part } = await target()
    await mkdir(folder)
    await writeFile(part, content.subarray(0, 100_000))
    await download(file, { ...quick, urls: [url] })
    expect(heard.map(({ range }) => range)).toEqual(['bytes=100000-'])
    expect((await readFile(file)).equals(content)).toBe(true)
  })

  test('all of it was there already', async () => {
    const { url, heard } = await serve((request, response) => sendFile(request, response, content))
    const { folder, file, part } = await target()
    await mkdir(folder)
    await writeFile(part, content)
    await download(file, { ...quick, urls: [url] })
    expect(heard).toHaveLength(1)
    expect((await readFile(file)).equals(content)).toBe(true)
  })

  test('a server that knows no ranges sends all of it anew', async () => {
    const { url } = await serve((_, response) => response.end(content))
    const { folder, file, part } = await target()
    await mkdir(folder)
    await writeFile(part, randomBytes(400_000))
    await download(file, { ...quick, urls: [url] })
    expect((await readFile(file)).equals(content)).toBe(true)
  })

  test('leftovers of another file are noticed, and it starts anew', async () => {
    const { url, heard } = await serve((request, response) => sendFile(request, response, content))
    const { folder, file, part } = await target()
    await mkdir(folder)
    await writeFile(part, randomBytes(1000))
    await download(file, { ...quick, urls: [url] })
    expect(heard.map(({ range }) => range)).toEqual(['bytes=1000-', undefined])
    expect((await readFile(file)).equals(content)).toBe(true)
  })

  test('a connection that is cut is taken up where it broke', async () => {
    const { file, part } = await target()
    const { url, heard } = await serve((request, response) => {
      const from = rangeStart(request) ?? 0
      if (from < 200_000) void sendAndCut(response, content, 80_000, part, from)
      else sendFile(request, response, content)
    })
    await download(file, { ...quick, urls: [url], retries: 4 })
    expect(heard.map(({ range }) => range)).toEqual([
      undefined,
      'bytes=80000-',
      'bytes=160000-',
      'bytes=240000-',
    ])
    expect((await readFile(file)).equals(content)).toBe(true)
  })

  test('the file changes between two connections: it starts anew', async () => {
    const { file, part } = await target()
    const other = randomBytes(content.byteLength)
    const { url, heard } = await serve((request, response) => {
      if (heard.length === 1) void sendAndCut(response, other, 80_000, part)
      else sendFile(request, response, content)
    })
    await download(file, { ...quick, urls: [url] })
    expect(heard.map(({ range }) => range)).toEqual([undefined, 'bytes=80000-', undefined])
    expect((await readFile(file)).equals(content)).toBe(true)
  })

  test('another file over a connection that is always cut once: it starts anew once, and not for ever', async () => {
    const { file, part } = await target()
    const other = randomBytes(content.byteLength)
    const { url, heard } = await serve((request, response) => {
      if (request.headers.range === undefined && heard.length < 20)
        void sendAndCut(response, other, 80_000, part)
      else sendFile(request, response, other)
    })
    expect((await failure(download(file, { ...quick, urls: [url] }))).message).toMatch(
      /not the file that was/,
    )
    expect(heard).toHaveLength(4)
  })

  test('a server without ranges that is cut now early, now late, is not asked for ever', async () => {
    const large = Buffer.alloc(6_000_000)
    const { file, part } = await target()
    const { url, heard } = await serve((_, response) => {
      if (heard.length > 12) response.writeHead(404).end()
      else void sendAndCut(response, large, heard.length % 2 === 0 ? 1_500_000 : 4_000_000, part)
    })
    const { message } = await failure(download(file, { ...quick, urls: [`${url}/w`] }))
    expect(message).toMatch(/tried \d times/)
    expect(heard.length).toBeLessThan(6)
  })

  test.each([
    ['seconds', () => '1'],
    ['a date', () => new Date(Date.now() + 2000).toUTCString()],
  ])('a server that says when to ask again (%s) is asked then', async (_, after) => {
    const times: number[] = []
    const { url } = await serve((request, response) => {
      times.push(performance.now())
      if (times.length > 1) sendFile(request, response, content)
      else response.writeHead(429, { 'retry-after': after() }).end()
    })
    const { file } = await target()
    await download(file, { ...quick, urls: [url] })
    expect(times[1]! - times[0]!).toBeGreaterThan(900)
  })

  test('one that is always cut: an error that says so, and what was received is kept for the next time', async () => {
    const { folder, file, part } = await target()
    const { url, heard } = await serve(
      (request, response) => void sendAndCut(response, content, 50_000, part, rangeStart(request)),
    )
    const { message } = await failure(download(file, { ...quick, urls: [url] }))
    expect(message).toMatch(
      /could not be downloaded: .*(cut|ended at).*tried 3 times.*received are kept.*ANNEAL_HUB/s,
    )
    expect(heard.map(({ range }) => range)).toEqual([undefined, 'bytes=50000-', 'bytes=100000-'])
    expect(await readdir(folder)).toEqual(['.weights.pth.part'])
    expect((await readFile(part)).equals(content.subarray(0, 150_000))).toBe(true)
  })

  test('another checksum: refused, and nothing is kept', async () => {
    const { url, heard } = await serve((_, response) => response.end('<html>Sign in to the network</html>'))
    const { folder, file } = await target()
    const { message } = await failure(download(file, { ...quick, urls: [url] }))
    expect(message).toContain(`not ${sha256}`)
    expect(message).toMatch(/its SHA-256 is [0-9a-f]{64}.*was not kept/s)
    expect(heard).toHaveLength(1)
    expect(await readdir(folder)).toEqual([])
  })

  test('404 is not tried again; 503 is', async () => {
    const missing = await serve((_, response) => response.writeHead(404).end())
    const { file } = await target()
    expect((await failure(download(file, { ...quick, urls: [`${missing.url}/w`] }))).message).toMatch(
      /\/w could not be downloaded: the server answered 404 \(not found\)/,
    )
    expect(missing.heard).toHaveLength(1)
    let busy = 2
    const slow = await serve((request, response) =>
      busy-- > 0 ? response.writeHead(503).end() : sendFile(request, response, content),
    )
    await download(file, { ...quick, urls: [slow.url] })
    expect(slow.heard).toHaveLength(3)
  })

  test('redirects are followed, to a limit', async () => {
    const { url, heard } = await serve((request, response) => {
      if (request.url === '/round') response.writeHead(302, { location: '/round' }).end()
      else if (request.url === '/old') response.writeHead(301, { location: '../new?x=1' }).end()
      else sendFile(request, response, content)
    })
    const { file } = await target()
    await download(file, { ...quick, urls: [`${url}/old`] })
    expect(heard.map(({ path }) => path)).toEqual(['/old', '/new?x=1'])
    const other = await target()
    expect(
      (await failure(download(other.file, { ...quick, retries: 0, urls: [`${url}/round`] }))).message,
    ).toMatch(/redirects more than 10 times/)
  })

  test('a server that goes silent, one that is not there, and one without a name', async () => {
    const silent = await serve((_, response) => response.writeHead(200, { 'content-length': 10 }).write('x'))
    const { file } = await target()
    const impatient = { ...quick, retries: 0, timeouts: { silence: 100 } }
    expect((await failure(download(file, { ...impatient, urls: [silent.url] }))).message).toMatch(
      /went silent/,
    )
    expect((await failure(download(file, { ...impatient, urls: ['http://127.0.0.1:1/w'] }))).message).toMatch(
      /nothing answers at that address/,
    )
  })

  test('a second place is asked when the first fails, and both failures are told', async () => {
    const missing = await serve((_, response) => response.writeHead(404).end())
    const good = await serve((request, response) => sendFile(request, response, content))
    const { file } = await target()
    const both = await failure(download(file, { ...quick, urls: [`${missing.url}/a`, `${missing.url}/b`] }))
    expect(both.message).toMatch(/from any of 2 places:\n.*\/a.*404.*\n.*\/b.*404/)
    await download(file, { ...quick, urls: [missing.url, good.url] })
    expect((await readFile(file)).equals(content)).toBe(true)
  })
})

describe('progress', () => {
  test('on a terminal a bar in place, elsewhere a line', async () => {
    const { url } = await serve((request, response) => sendFile(request, response, content))
    const written: Record<string, string> = { terminal: '', pipe: '' }
    for (const [name, isTTY] of [
      ['terminal', true],
      ['pipe', false],
    ] as const) {
      const write = (text: string) => {
        written[name] += text
      }
      const progress = { isTTY, columns: 100, write }
      await download((await target()).file, { ...quick, urls: [url], progress })
    }
    const drawings = written.terminal!.split('\r\u001b[K')
    expect(drawings[1]).toMatch(/^weights\.pth {2}█*░* {2}.* of 300\.0 kB {2}.*\/s {2}\d\d:\d\d left$/)
    expect(drawings.every((drawing) => drawing.length < 100 && !drawing.includes('\n'))).toBe(true)
    expect(drawings.at(-1)).toBe('')
    expect(written.pipe).toBe('Downloading weights.pth (300.0 kB)\n')
  })
})

describe('proxies', () => {
  test('HTTP_PROXY is followed, NO_PROXY is not', async () => {
    const { url } = await serve((request, response) => sendFile(request, response, content))
    const proxy = await serveProxy()
    for (const name of ['http_proxy', 'no_proxy', 'NO_PROXY', 'all_proxy', 'ALL_PROXY'])
      vi.stubEnv(name, undefined)
    vi.stubEnv('HTTP_PROXY', proxy.url)
    await download((await target()).file, { ...quick, urls: [url] })
    expect(proxy.tunnels).toEqual([new URL(url).host])
    vi.stubEnv('NO_PROXY', 'example.org,127.0.0.1')
    await download((await target()).file, { ...quick, urls: [url] })
    expect(proxy.tunnels).toHaveLength(1)
    vi.stubEnv('NO_PROXY', '')
    vi.stubEnv('HTTP_PROXY', 'socks5://127.0.0.1:9')
    await expect(download((await target()).file, { ...quick, urls: [url] })).rejects.toThrow(ConfigError)
    vi.unstubAllEnvs()
  })
})

describe('several processes', () => {
  const script = fileURLToPath(new URL('downloadProcess.ts', import.meta.url))
  const start = (file: string, url: string) => {
    const child = spawn(process.execPath, ['--import', 'tsx', script, file, url, sha256], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (text) => {
      output += text
    })
    const ended = new Promise<string>((resolve) => child.on('exit', (code) => resolve(`${code}\n${output}`)))
    return { child, ended }
  }

  test('one downloads, the other waits for it', async () => {
    const { url, heard } = await serve((request, response) =>
      setTimeout(() => sendFile(request, response, content), 700),
    )
    const { folder, file } = await target()
    const ends = await Promise.all([start(file, url).ended, start(file, url).ended])
    expect(ends.every((end) => end.startsWith('0\n'))).toBe(true)
    expect(ends.filter((end) => end.includes('waiting for it'))).toHaveLength(1)
    expect(heard).toHaveLength(1)
    expect(await readdir(folder)).toEqual(['weights.pth'])
  })

  test('when the first is killed, the second goes on with what it received', async () => {
    let requests = 0
    const { url, heard } = await serve((request, response) => {
      if (requests++ === 0)
        response.writeHead(200, { 'content-length': content.byteLength }).write(content.subarray(0, 120_000))
      else sendFile(request, response, content)
    })
    const { file, part } = await target()
    const first = start(file, url)
    await vi.waitFor(async () => expect((await readFile(part)).byteLength).toBe(120_000), { timeout: 50_000 })
    first.child.kill('SIGKILL')
    await first.ended
    const past = new Date(Date.now() - 60_000)
    await utimes(file.replace('weights.pth', '.weights.pth.lock'), past, past)
    expect(await start(file, url).ended).toMatch(/^0\n/)
    expect(heard.map(({ range }) => range)).toEqual([undefined, 'bytes=120000-'])
    expect((await readFile(file)).equals(content)).toBe(true)
  })

  test('a lock is held by one at a time, and is not taken from one that lives', async () => {
    const path = `${await temporaryFolder()}/lock`
    const times = { beat: 20, stale: 200, poll: 5 }
    const never = { waiting: () => undefined, done: async () => false }
    let inside = 0
    const work = async () => {
      const lock = await FileLock.take(path, never, times)
      expect(++inside).toBe(1)
      await new Promise((resolve) => setTimeout(resolve, 100))
      inside--
      await lock!.release()
    }
    await Promise.all(Array.from({ length: 6 }, work))
    expect(existsSync(path)).toBe(false)
  })
})

describe('locks by clocks that are wrong', () => {
  const times = { beat: 20, stale: 300, poll: 5 }
  const never = { waiting: () => undefined, done: async () => false }
  const hour = 3_600_000
  /** How long it takes to get a lock that somebody left, touched so many milliseconds from now. */
  async function wait(offset: number, lockTimes = times): Promise<number> {
    const path = `${await temporaryFolder()}/lock`
    await writeFile(path, 'somebody')
    const touched = new Date(Date.now() + offset)
    await utimes(path, touched, touched)
    const begin = performance.now()
    const lock = await FileLock.take(path, never, lockTimes)
    const taken = performance.now() - begin
    expect(await readdir(dirname(path))).toEqual(['lock'])
    await lock!.release()
    expect(existsSync(path)).toBe(false)
    return taken
  }

  test('one that was left in a time to come is not waited for until then', async () => {
    for (const offset of [hour, 0]) {
      const taken = await wait(offset)
      expect(taken).toBeGreaterThanOrEqual(295)
    }
  })

  test('an old one is taken after a few beats', async () => {
    const taken = await wait(-hour, { ...times, stale: 100_000 })
    expect(taken).toBeGreaterThanOrEqual(75)
  })

  test.each([-hour, hour])(
    'one that is touched is not taken, though the clock is wrong by %s ms',
    async (offset) => {
      const path = `${await temporaryFolder()}/lock`
      await writeFile(path, 'somebody')
      const touch = async () => {
        const touched = new Date(Date.now() + offset)
        await utimes(path, touched, touched)
      }
      await touch()
      const holder = setInterval(() => void touch(), times.beat)
      const end = performance.now() + 1000
      try {
        const lock = await FileLock.take(path, { ...never, done: async () => performance.now() > end }, times)
        expect(lock).toBeUndefined()
        expect(await readFile(path, 'utf8')).toBe('somebody')
      } finally {
        clearInterval(holder)
      }
    },
  )
})

describe('a disk that is full, or closed', () => {
  test('nothing half-written stays', async (context) => {
    const disk = smallDisk(await temporaryFolder())
    if (disk === null) return context.skip()
    const large = randomBytes(4_000_000)
    const options = { ...quick, sha256: createHash('sha256').update(large).digest('hex') }
    const honest = await serve((request, response) => sendFile(request, response, large))
    const { message } = await failure(download(`${disk}/w.pth`, { ...options, urls: [honest.url] }))
    expect(message).toMatch(/no space left in .*4\.0 MB are needed, .* are free.*ANNEAL_CACHE/s)
    // A server that does not say how much is coming.
    const vague = await serve((_, response) => response.writeHead(200).end(large))
    expect((await failure(download(`${disk}/w.pth`, { ...options, urls: [vague.url] }))).message).toMatch(
      /no space left in/,
    )
    expect(await readdir(disk)).toEqual([])
  })

  test('no lock stays that others would wait for', async (context) => {
    const disk = smallDisk(await temporaryFolder())
    if (disk === null) return context.skip()
    fillUp(disk)
    const handles = () => readdir('/proc/self/fd').then(({ length }) => length)
    const before = await handles()
    const { message } = await failure(download(`${disk}/w.pth`, { ...quick, urls: ['http://127.0.0.1:1/w'] }))
    expect(message).toMatch(/no space left in/)
    expect((await readdir(disk)).filter((name) => name.endsWith('.lock'))).toEqual([])
    expect(await handles()).toBe(before)
  })

  test('a folder that cannot be made', async () => {
    const folder = await temporaryFolder()
    await writeFile(`${folder}/file`, '')
    const error = await failure(
      download(`${folder}/file/w.pth`, { ...quick, urls: ['http://127.0.0.1:1/w'] }),
    )
    expect(error.message).toMatch(/cannot be written: .*ANNEAL_CACHE/)
  })
})
