import { stat } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { expect, onTestFinished, vi } from 'vitest'

/** What a server heard of: path, and range asked for. */
export interface Heard {
  path: string
  range: string | undefined
}

/** A server on this machine, until the test ends. */
export async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string; heard: Heard[]; server: Server }> {
  const heard: Heard[] = []
  const server = createServer((request, response) => {
    heard.push({ path: request.url ?? '', range: request.headers.range })
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heard, server }
}

/** The first byte that is asked for by a range, or undefined. */
export function rangeStart(request: IncomingMessage): number | undefined {
  const match = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')
  return match ? Number(match[1]) : undefined
}

/** Answers with `content`, or with the part of it that was asked for. */
export function sendFile(request: IncomingMessage, response: ServerResponse, content: Buffer): void {
  const from = rangeStart(request)
  if (from === undefined) {
    response.writeHead(200, { 'content-length': content.byteLength }).end(content)
  } else if (from >= content.byteLength) {
    response.writeHead(416, { 'content-range': `bytes */${content.byteLength}` }).end()
  } else {
    const part = content.subarray(from)
    const range = `bytes ${from}-${content.byteLength - 1}/${content.byteLength}`
    response.writeHead(206, { 'content-length': part.byteLength, 'content-range': range }).end(part)
  }
}

/**
 * Sends `bytes` bytes of `content` from `from` on, and cuts the connection once all of them have reached the file `part`: what a
 * client has not read yet when a connection breaks may be lost.
 */
export async function sendAndCut(
  response: ServerResponse,
  content: Buffer,
  bytes: number,
  part: string,
  from = 0,
): Promise<void> {
  response.writeHead(from > 0 ? 206 : 200, {
    'content-length': content.byteLength - from,
    ...(from > 0 && { 'content-range': `bytes ${from}-${content.byteLength - 1}/${content.byteLength}` }),
  })
  response.write(content.subarray(from, from + bytes))
  await vi.waitFor(async () => expect((await stat(part)).size).toBe(from + bytes), { timeout: 50_000 })
  response.socket?.destroy()
}

/** A proxy that tunnels wherever it is told to, and notes where. */
export async function serveProxy(): Promise<{ url: string; tunnels: string[] }> {
  const tunnels: string[] = []
  const { url, server } = await serve((_, response) => response.writeHead(405).end())
  server.on('connect', (request, socket, head) => {
    tunnels.push(request.url ?? '')
    const [host, port] = (request.url ?? '').split(':')
    const upstream = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      upstream.write(head)
      upstream.pipe(socket)
      socket.pipe(upstream)
    })
    upstream.on('error', () => socket.destroy())
    socket.on('error', () => upstream.destroy())
  })
  return { url, tunnels }
}
