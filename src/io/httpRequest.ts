/// <reference path="./proxy-from-env.d.ts" />
import { getProxyForUrl } from 'proxy-from-env'
import { Agent, type Dispatcher, ProxyAgent, request } from 'undici'
import { ConfigError } from '../engine/errors.ts'

/** How long a server may be silent, in milliseconds: before it answers, and between two pieces of its answer. */
export interface HttpTimeouts {
  connect: number
  silence: number
}

const MAX_REDIRECTS = 10
const REDIRECTS = [301, 302, 303, 307, 308]

export interface HttpAnswer {
  status: number
  headers: Readonly<Record<string, string | string[] | undefined>>
  body: Dispatcher.ResponseData['body']
  /** Where the answer came from in the end. */
  url: string
  /** Ends the connection. */
  close(): Promise<void>
}

/**
 * A GET request, through the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY (or their lower-case twins) ask for, and after
 * redirects. Node's own `fetch` knows nothing of these variables before Node 24.
 */
export async function httpGet(
  url: string,
  headers: Readonly<Record<string, string>>,
  timeouts: HttpTimeouts,
): Promise<HttpAnswer> {
  let here = url
  for (let redirects = 0; ; redirects++) {
    const dispatcher = dispatcherFor(here, timeouts)
    const close = () => dispatcher.destroy().catch(() => undefined)
    try {
      const answer = await request(here, { dispatcher, headers, method: 'GET' })
      // Who reads the body hears of its failure; until then, and after, nobody would.
      answer.body.on('error', () => undefined)
      const { location } = answer.headers
      if (!REDIRECTS.includes(answer.statusCode) || typeof location !== 'string') {
        return { status: answer.statusCode, headers: answer.headers, body: answer.body, url: here, close }
      }
      await close()
      if (redirects >= MAX_REDIRECTS) throw new Error(`it redirects more than ${MAX_REDIRECTS} times`)
      here = new URL(location, here).href
    } catch (error) {
      await close()
      throw error
    }
  }
}

function dispatcherFor(url: string, { connect, silence }: HttpTimeouts): Dispatcher {
  const options = { connect: { timeout: connect }, headersTimeout: silence, bodyTimeout: silence }
  const proxy = getProxyForUrl(url)
  if (proxy === '') return new Agent(options)
  if (!/^https?:\/\//i.test(proxy)) {
    throw new ConfigError(
      `the proxy ${proxy} in HTTPS_PROXY or HTTP_PROXY is of a kind that is not supported: it must begin with http:// or https://`,
    )
  }
  return new ProxyAgent({ uri: proxy, ...options })
}
