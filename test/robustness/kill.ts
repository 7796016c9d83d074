/** `npm run test:kill -- --kills 100 --seed 1`: fits that are killed at random moments and resumed; see killRun.ts. */
import { parseArgs } from 'node:util'
import { killRun } from './killRun.ts'

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '100' }, seed: { type: 'string', default: '1' } },
})
const { kills, insideWrite, fits } = await killRun({ kills: Number(values.kills), seed: Number(values.seed) })
const total = kills.batch + kills.write + kills.rename
console.log(
  `seed ${values.seed}: ${total} kills (${kills.batch} in a batch, ${kills.write} aimed into a write, ${kills.rename} at a rename; ` +
    `${insideWrite} left a half-written file); ${fits} fits ended with the bits of one that was not interrupted`,
)
