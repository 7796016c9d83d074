import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^anneal$/, replacement: at('./src/index.ts') },
      { find: /^anneal\/callbacks$/, replacement: at('./callbacks/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    // `npm run test:gpu` runs the tests of the ops on a GPU.
    setupFiles: process.env.ANNEAL_TEST_DEVICE ? [at('./test/gpu/onDevice.ts')] : [],
    // A native abort in a fork is reported against its file; in a thread it would end the whole run.
    pool: 'forks',
    // Each file's engine leads a team as wide as the machine: more files at once would only contend.
    maxWorkers: 1,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default', ['json', { outputFile: 'build/test-report.json' }]],
  },
})
