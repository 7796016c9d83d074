import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { onTestFinished } from 'vitest'

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

/** Answers with `content`, or with the part of it that was asked for. */
export function sendFile(request: IncomingMessage, response: ServerResponse, content: Buffer): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? Number.NaN)
  if (Number.isNaN(from)) {
    response.writeHead(200, { 'content-length': content.byteLength }).end(content)
  } else if (from >= content.byteLength) {
    response.writeHead(416, { 'content-range': `bytes */${content.byteLength}` }).end()
  } else {
    const part = content.subarray(from)
    const range = `bytes ${from}-${content.byteLength - 1}/${content.byteLength}`
    response.writeHead(206, { 'content-length': part.byteLength, 'content-range': range }).end(part)
  }
}

/** Sends the head of `content` and then cuts the connection. */
export function sendAndCut(response: ServerResponse, content: Buffer, bytes: number, from = 0): void {
  const headers = { 'content-length': content.byteLength - from }
  response.writeHead(from > 0 ? 206 : 200, {
    ...headers,
    ...(from > 0 && { 'content-range': `bytes ${from}-${content.byteLength - 1}/${content.byteLength}` }),
  })
  response.write(content.subarray(from, from + bytes), () =>
    setTimeout(() => response.socket?.destroySoon(), 20),
  )
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
