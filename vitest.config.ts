import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

// What stands on the engine and tests none of its kernels and threads: data, files, plots, the training loop, models, the
// command line, whole programs, the build.
const above = [
  ...'callbacks cli data docs io learner onnx plot recipes tabular vision'
    .split(' ')
    .map((folder) => `test/${folder}/**/*.test.ts`),
  'test/engine/{badInput,doubleBackward}.test.ts',
  'test/native/{build,emulated,setup}.test.ts',
  'test/robustness/**/*.test.ts',
]

/** What runs whole programs comes first: the longest files, lest one be left to a single worker at the end. */
class ProgramsFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isProgram = ({ moduleId }: TestSpecification) =>
      /\/test\/(docs|native|recipes|robustness)\//.test(moduleId)
    return [...sorted.filter(isProgram), ...sorted.filter((file) => !isProgram(file))]
  }
}

// `npm run test:gpu` runs the tests of the ops on a GPU.
const setupFiles = process.env.ANNEAL_TEST_DEVICE ? [at('./test/gpu/onDevice.ts')] : []

export default defineConfig({
  resolve: {
    alias: [
      { find: /^anneal$/, replacement: at('./src/index.ts') },
      { find: /^anneal\/callbacks$/, replacement: at('./callbacks/index.ts') },
    ],
  },
  test: {
    // A native abort in a fork is reported against its file; in a thread it would end the whole run.
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 120_000,
    sequence: { sequencer: ProgramsFirst },
    setupFiles,
    reporters: ['default', ['json', { outputFile: 'build/test-report.json' }]],
    projects: [
      {
        extends: true,
        test: {
          name: 'engine',
          include: ['test/**/*.test.ts'],
          exclude: above,
          // Each file's engine leads a team as wide as the machine: more files at once would only contend.
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
          // Loading the sources again for each file would take as long as the tests do. What a file leaves behind would
          // be a fault of ours: all of this may go on in one process of a user's, too. The emulated GPU guards its memory
          // at each launch, which takes the longer the more there is.
          isolate: process.env.ANNEAL_TEST_DEVICE !== undefined,
        },
      },
      {
        extends: true,
        test: {
          name: 'above the engine',
          include: above,
          // As many files at once as the machine is wide, whose engines have a thread each.
          maxWorkers: process.env.ANNEAL_TEST_DEVICE ? 1 : availableParallelism(),
          env: { OMP_NUM_THREADS: '1' },
        },
      },
    ],
  },
})
