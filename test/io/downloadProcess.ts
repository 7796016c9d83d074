// node --import tsx downloadProcess.ts FILE URL SHA256: a download in a process of its own.
import { download } from '../../src/io/download.ts'

const [file, url, sha256] = process.argv.slice(2) as [string, string, string]
await download(file, { urls: [url], sha256, progress: process.stdout, retries: 0 })
