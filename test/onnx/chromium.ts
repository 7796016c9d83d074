import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { WebSocket } from 'undici'
import { onTestFinished, vi } from 'vitest'
import { temporaryFolder } from '../io/temporaryFolder.ts'

/** Debian's Chromium, if it is installed. */
export const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => existsSync(path) && spawnSync(path, ['--version']).status === 0,
)

/** A page in a headless browser, until the test ends. Spoken to in the Chrome DevTools Protocol. */
export class Page {
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, (message: { result?: unknown; error?: { message: string } }) => void>()
  #sent = 0
  /** What the page has logged, and its uncaught errors. */
  readonly log: string[] = []

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(String(data)) as {
        id?: number
        method?: string
        params?: {
          args?: { value?: unknown }[]
          exceptionDetails?: { exception?: { description?: string }; text: string }
        }
      }
      if (message.id !== undefined) this.#waiting.get(message.id)?.(message as never)
      const { args, exceptionDetails } = message.params ?? {}
      if (message.method === 'Runtime.consoleAPICalled')
        this.log.push(args!.map(({ value }) => String(value)).join(' '))
      if (message.method === 'Runtime.exceptionThrown')
        this.log.push(exceptionDetails!.exception?.description ?? exceptionDetails!.text)
    })
  }

  static async open(url: string): Promise<Page> {
    const profile = await temporaryFolder()
    const browser = spawn(
      chromium!,
      [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        `--user-data-dir=${profile}`,
        '--remote-debugging-port=0',
        'about:blank',
      ],
      { stdio: 'ignore' },
    )
    const ended = new Promise((resolve) => browser.on('exit', resolve))
    onTestFinished(async () => {
      browser.kill('SIGKILL')
      await ended
    })
    const port = await vi.waitFor(
      () => {
        const text = readFileSync(`${profile}/DevToolsActivePort`, 'utf8')
        if (!text.includes('\n')) throw new Error('not yet')
        return text.split('\n')[0]
      },
      { timeout: 60_000, interval: 100 },
    )
    const pages = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as {
      type: string
      webSocketDebuggerUrl: string
    }[]
    const socket = new WebSocket(pages.find(({ type }) => type === 'page')!.webSocketDebuggerUrl)
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve)
      socket.addEventListener('error', reject)
    })
    const page = new Page(socket)
    for (const domain of ['Page', 'Runtime', 'DOM']) await page.send(`${domain}.enable`)
    await page.send('Page.navigate', { url })
    return page
  }

  async send<Result>(method: string, params: object = {}): Promise<Result> {
    const id = ++this.#sent
    this.#socket.send(JSON.stringify({ id, method, params }))
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ result, error }) =>
        error ? reject(new Error(`${method}: ${error.message}`)) : resolve(result as Result),
      )
    })
  }

  /** The value of an expression in the page. */
  async evaluate<Value>(expression: string): Promise<Value> {
    const { result } = await this.send<{ result: { value: Value } }>('Runtime.evaluate', {
      expression,
      returnByValue: true,
    })
    return result.value
  }

  /** Waits until an expression in the page is true. */
  async until(expression: string): Promise<void> {
    await vi.waitFor(
      async () => {
        if ((await this.evaluate(expression)) !== true) {
          throw new Error(`the page never came to ${expression}; it said: ${this.log.join('\n')}`)
        }
      },
      { timeout: 50_000, interval: 100 },
    )
  }

  /** Chooses a file, as a visitor does. */
  async chooseFile(selector: string, file: string): Promise<void> {
    const { root } = await this.send<{ root: { nodeId: number } }>('DOM.getDocument')
    const { nodeId } = await this.send<{ nodeId: number }>('DOM.querySelector', {
      nodeId: root.nodeId,
      selector,
    })
    await this.send('DOM.setFileInputFiles', { nodeId, files: [file] })
  }
}
