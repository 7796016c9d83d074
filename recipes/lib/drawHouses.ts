import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RandomStream } from '../../src/data/random.ts'

const NEIGHBORHOODS = ['CollgCr', 'Edwards', 'NAmes', 'NoRidge', 'OldTown', 'Somerst']
const COLUMNS = [
  'Id',
  'LotFrontage',
  'LotArea',
  'Neighborhood',
  'OverallQual',
  'YearBuilt',
  'GrLivArea',
  'GarageType',
  'GarageYrBlt',
]

/**
 * Writes `train.csv` and `test.csv` in the format of Kaggle's house-price competition: some of its columns, missing values as NA,
 * and prices that follow from the columns but for a tenth up or down.
 */
export async function drawHouses(folder: string, { rows = 1460, seed = 42 } = {}): Promise<void> {
  await mkdir(folder, { recursive: true })
  const lines = Array.from({ length: 2 * rows }, (_, id) =>
    house(id + 1, new RandomStream({ seed, index: id })),
  )
  const train = lines.slice(0, rows).map(([cells, price]) => [...cells, price])
  const test = lines.slice(rows).map(([cells]) => cells)
  await writeFile(join(folder, 'train.csv'), csv([[...COLUMNS, 'SalePrice'], ...train]))
  await writeFile(join(folder, 'test.csv'), csv([COLUMNS, ...test]))
}

function house(id: number, random: RandomStream): [cells: (string | number)[], price: number] {
  const place = random.integer(NEIGHBORHOODS.length)
  const quality = 1 + random.integer(10)
  const built = 1900 + random.integer(110)
  const living = Math.round(random.uniform(600, 3200))
  const lot = Math.round(random.logUniform(3000, 30000))
  const garage = random.chance(0.9) ? (random.chance(0.6) ? 'Attchd' : 'Detchd') : 'NA'
  const log =
    10.6 +
    0.08 * place +
    0.1 * quality +
    0.0003 * living +
    0.003 * (built - 1900) +
    0.05 * Math.log(lot / 3000)
  const price = Math.exp(
    log + (garage === 'Attchd' ? 0.1 : garage === 'NA' ? -0.1 : 0) + random.uniform(-0.1, 0.1),
  )
  const cells = [
    id,
    random.chance(0.18) ? 'NA' : Math.round(Math.sqrt(lot) * random.uniform(0.6, 0.8)),
    lot,
    NEIGHBORHOODS[place]!,
    quality,
    built,
    living,
    garage,
    garage === 'NA' ? 'NA' : built + random.integer(3),
  ]
  return [cells, Math.round(price)]
}

const csv = (rows: readonly (readonly (string | number)[])[]) =>
  `${rows.map((row) => row.join(',')).join('\n')}\n`
