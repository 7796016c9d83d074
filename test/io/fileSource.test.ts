import { constants } from 'node:buffer'
import { expect, test } from 'vitest'
import { CheckpointError } from '../../src/engine/errors.ts'
import { FileSource } from '../../src/io/fileSource.ts'

test.each([2 ** 47, constants.MAX_LENGTH + 1])(
  'a tensor of %i bytes, which do not fit into memory',
  (length) => {
    const steps = new FileSource('huge.safetensors', 2 ** 60).read(0, length, 'tensor "embedding.weight"')
    const found = (() => {
      try {
        return steps.next()
      } catch (error) {
        return error as Error
      }
    })()
    expect(found).toBeInstanceOf(CheckpointError)
    expect((found as Error).message).toMatch(
      /^huge\.safetensors: tensor "embedding\.weight" takes \d+ bytes, .*(Use Node 22|no memory)/,
    )
  },
)
