import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

test("CUDA's kernels agree with PyTorch's numbers where the processor plays the GPU", {
  timeout: 1_200_000,
}, () => {
  const run = spawnSync(process.execPath, ['test/gpu/run.mjs', '--emulated', '--quick'], {
    cwd: root,
    encoding: 'utf8',
    env: {
      ...process.env,
      VITEST: undefined,
      VITEST_POOL_ID: undefined,
      VITEST_WORKER_ID: undefined,
      NO_COLOR: '1',
    },
  })
  expect(run.stdout).toContain('nothing here is verified on a GPU by this')
  expect(run.status, run.stdout + run.stderr).toBe(0)
  expect(run.stdout).toMatch(/Tests {2}[1-9]\d* passed/)
})
