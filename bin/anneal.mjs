#!/usr/bin/env node
// The `anneal` command. An installed package runs what was compiled into dist; a checkout runs its sources, so that
// there is nothing to build first.

import { existsSync } from 'node:fs'

const source = new URL('../src/cli/main.ts', import.meta.url)
const entry = existsSync(source) ? source : new URL('../dist/src/cli/main.js', import.meta.url)
if (entry === source) (await import('tsx/esm/api')).register()
const { main } = await import(entry.href)
process.exitCode = await main(process.argv.slice(2))
