import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { fromTable, missingTexts, readCsv, type TableBatch } from '../../src/data/index.ts'
import { TableEncoder } from '../../src/data/table/TableEncoder.ts'
import { ConfigError, DataError } from '../../src/engine/errors.ts'
import type { Tensor } from '../../src/engine/index.ts'
import { temporaryFolder } from './pictures.ts'

function file(text: string | Uint8Array, name = 'table.csv'): string {
  const path = join(temporaryFolder(), name)
  writeFileSync(path, text)
  return path
}

/** Eight rows: the last two are for validation. */
const houses = `Id,Area,Zone,Rooms,Valid,Price
1,100,b,3,false,10
2,NA,a,2,false,20
3,300,a,2,false,30
4,200,,5,false,40
5,400,b,3,false,50
6,NA,c,3,false,60
7,NA,d,4,true,70
8,250.0,a,NA,true,80
`
const settings = { target: 'Price', ignore: ['Id'], validColumn: 'Valid', batchSize: 2, seed: 1 } as const
const numbers = (tensor: Tensor) => tensor.toArray() as number[][]
const whole = async (loader: AsyncIterable<TableBatch>) => {
  const all = { categories: [] as number[][], numbers: [] as number[][], y: [] as unknown[] }
  for await (const { x, y } of loader) {
    all.categories.push(...numbers(x[0]).map((row) => row.map(Number)))
    all.numbers.push(...numbers(x[1]))
    all.y.push(...(y.toArray() as unknown[]))
  }
  return all
}

describe('readCsv', () => {
  it('reads quotes, line breaks in them, a byte order mark and empty lines', async () => {
    const path = file('\ufeffa, b ,c\n1,"x, ""y""",3\n\n4,"two\nlines",6\r\n')
    const { columns, rows, lines } = await readCsv(path)
    expect(columns).toEqual(['a', 'b', 'c'])
    expect(rows).toEqual([
      ['1', 'x, "y"', '3'],
      ['4', 'two\nlines', '6'],
    ])
    expect(lines).toEqual([2, 5])
  })

  it('other separators, and files without a header', async () => {
    const { columns, rows } = await readCsv(file('1;2\n3;4\n'), { separator: ';', header: false })
    expect(columns).toEqual(['0', '1'])
    expect(rows).toEqual([
      ['1', '2'],
      ['3', '4'],
    ])
  })

  it('ragged rows: an error with file and line, or left out and listed', async () => {
    const path = file('a,b\n1,2\n3\n4,5,6\n7,8\n')
    await expect(readCsv(path)).rejects.toThrow(
      /table\.csv, line 3: the row has 1 fields, but the header names 2/,
    )
    const { rows, skipped } = await readCsv(path, { onError: 'skip' })
    expect(rows).toEqual([
      ['1', '2'],
      ['7', '8'],
    ])
    expect(skipped.map(({ item }) => item.split('/').at(-1))).toEqual([
      'table.csv, line 3',
      'table.csv, line 4',
    ])
  })

  it('counts lines as editors do, whatever ends them and wherever', async () => {
    for (const end of ['\r\n', '\n', '\r']) {
      const text = ['a,b', '', '1,"two', 'lines"', '2,"x', '', 'y"', '3', '4,5'].join(end)
      const { lines, rows, skipped } = await readCsv(file(`\ufeff${text}`), { onError: 'skip' })
      expect(rows).toEqual([
        ['1', `two${end}lines`],
        ['2', `x${end}${end}y`],
        ['4', '5'],
      ])
      expect(lines).toEqual([4, 7, 9])
      expect(skipped.map(({ item }) => item.split('/').at(-1))).toEqual(['table.csv, line 8'])
    }
  })

  it('a quote that does not end is an error with the line in which it begins, even where rows are left out', async () => {
    const good = (from: number) => Array.from({ length: 50 }, (_, at) => `${from + at},b`).join('\n')
    const open = file(`a,b\r\n1,"x\r\ny"\r\n${good(1)}\n51,"b\n${good(52)}\n`)
    const taken = file(`a,b\n${good(1)}\n51,"b\n${good(52)}\n102,"b"\n`)
    for (const onError of ['throw', 'skip'] as const) {
      await expect(readCsv(open, { onError })).rejects.toThrow(
        /line 54: a quote is opened here that does not end\./,
      )
      await expect(readCsv(taken, { onError })).rejects.toThrow(
        /line 52: a quote is opened here that does not end where the next one stands, in line 103\. Close it/,
      )
    }
    const long = file('a,b\n1,"x\ny",3\n4,5\n')
    await expect(readCsv(long)).rejects.toThrow(/line 2: the row, which ends in line 3, has 3 fields/)
  })

  it('a quote within a field costs its line alone', async () => {
    const path = file(
      'a,b\n1,2\n3,5" pipe\n4,"8" pipe"\n5,"""6"", ""7"""\n6,"two\nlines"\n"x\ny",9" pipe\n7,"8"\n',
    )
    await expect(readCsv(path)).rejects.toThrow(/line 3: a quote stands within a field/)
    const { rows, skipped, lines } = await readCsv(path, { onError: 'skip' })
    expect(rows.map(([a]) => a)).toEqual(['1', '5', '6', '7'])
    expect(lines).toEqual([2, 5, 7, 10])
    expect(skipped.map(({ reason }) => /line \d+: [^;]+/.exec(reason)![0])).toEqual([
      'line 3: a quote stands within a field',
      'line 4: a quote ends before its field does',
      'line 8: a quote stands within a field',
    ])
    const named = file('a,"b"c\n1,2\n')
    await expect(readCsv(named, { onError: 'skip' })).rejects.toThrow(/line 1: a quote ends before/)
  })

  it('refuses other encodings than UTF-8, whose characters would all be one', async () => {
    const latin = file(Buffer.from('a,b\r\n\u00e9t\u00e9,1\n', 'latin1'))
    await expect(readCsv(latin)).rejects.toThrow(/table\.csv, line 2: this is no UTF-8.*Save it as UTF-8/)
    await expect(readCsv(file(Buffer.from('\ufeffa,b\n1,2\n', 'utf16le')))).rejects.toThrow(
      /is UTF-16\. Save/,
    )
    const { rows } = await readCsv(file('a,b\n\u00e9t\u00e9,\ufffd\n'))
    expect(rows).toEqual([['\u00e9t\u00e9', '\ufffd']])
  })

  it.each([
    ['', /the file is empty/],
    ['a,a\n1,2\n', /two columns are named 'a'/],
    ['a,b\n1,"2\n', /line 2: a quote is opened here that does not end/],
    [new Uint8Array([0x89, 0x50, 0, 1]), /bytes that are no text/],
  ])('refuses %j', async (text, message) => {
    await expect(readCsv(file(text))).rejects.toThrow(message)
    await expect(readCsv(file(text))).rejects.toThrow(DataError)
  })

  it('names a file that is not there', async () => {
    await expect(readCsv('/nowhere/x.csv')).rejects.toThrow('/nowhere/x.csv: there is no such file')
  })
})

describe('fromTable', () => {
  it('settles columns, categories and statistics on the training rows', async () => {
    const data = await fromTable(file(houses), settings)
    const { categorical, continuous } = data.encoder.description
    expect(categorical).toEqual([
      { name: 'Area', categories: ['100', '200', '300', '400'] },
      { name: 'Zone', categories: ['a', 'b', 'c'] },
      { name: 'Rooms', categories: ['2', '3', '5'] },
    ])
    expect(continuous).toEqual([])
    const typed = await fromTable(file(houses), { ...settings, continuous: ['Area', 'Rooms'] })
    // 100, 300, 200, 400: median 250; with it twice, mean 250, squares 150² + 50² + 50² + 150² over 5.
    const [area, rooms] = typed.encoder.description.continuous
    expect(area).toEqual({ name: 'Area', median: 250, mean: 250, std: Math.sqrt(10000), flagged: true })
    expect(rooms).toMatchObject({ name: 'Rooms', median: 3, mean: 3, flagged: false })
    expect(typed.encoder.description.categorical.map(({ name }) => name)).toEqual(['Zone', 'Area_na'])
  })

  it('orders categories by value where all are numbers, else as texts', async () => {
    const rows = ['2,2,x,1', '10,10,y,0', '1a,1,x,0', '9,9,y,0']
    const data = await fromTable(file(`mixed,whole,label,valid\n${rows.join('\n')}\n`), {
      target: 'label',
      categorical: ['mixed', 'whole'],
      validColumn: 'valid',
      batchSize: 1,
    })
    const { categorical } = data.encoder.description
    expect(categorical.map(({ categories }) => categories)).toEqual([
      ['10', '1a', '9'],
      ['1', '9', '10'],
    ])
  })

  it('encodes: 0 for what is missing or unknown, the median for missing numbers, a flag where they were', async () => {
    const data = await fromTable(file(houses), {
      ...settings,
      continuous: ['Area'],
      categorical: ['Zone', 'Rooms'],
    })
    const train = await whole(data.fixDl)
    expect(train.categories).toEqual([
      [2, 2, 1],
      [1, 1, 2],
      [1, 1, 1],
      [0, 3, 1],
      [2, 2, 1],
      [3, 2, 2],
    ])
    expect(train.numbers.flat()).toEqual([-1.5, 0, 0.5, -0.5, 1.5, 0])
    expect(train.y).toEqual([[10], [20], [30], [40], [50], [60]])
    // Zone d and four rooms are unknown, the last row's rooms are missing.
    const valid = await whole(data.validDl!)
    expect(valid.categories).toEqual([
      [0, 0, 2],
      [1, 0, 1],
    ])
    expect(valid.numbers.flat()).toEqual([0, 0])
    expect(data.encoder.cardinalities).toEqual([4, 4, 3])
  })

  describe('a column that is called as the flag of another would be', () => {
    const text = (rows: readonly string[]) => `x,x_na,y,valid\n${rows.join('\n')}\n`
    const of = (rows: readonly string[]) =>
      fromTable(file(text(rows)), { target: 'y', validColumn: 'valid', batchSize: 2, seed: 1 })

    it('keeps its numbers', async () => {
      const data = await of(['1.5,10.5,1,0', ',20.5,2,0', '3.5,30.5,3,0', '2.5,20.5,1,1'])
      expect(data.encoder.description.continuous.map(({ name, mean, std }) => [name, mean, std])).toEqual([
        ['x', 2.5, 1],
        ['x_na', 20.5, 10],
      ])
      expect(data.encoder.description.categorical).toEqual([
        { name: 'x_na_2', categories: ['false', 'true'], flagOf: 'x' },
      ])
      const train = await whole(data.fixDl)
      expect(train.numbers).toEqual([
        [-1, -1],
        [0, 0],
        [1, 1],
      ])
      expect(train.categories).toEqual([[1], [2], [1]])
      const { x } = await data.oneItem({ x: null, x_na: 30.5 })
      expect([numbers(x[1]), numbers(x[0])]).toEqual([[[0, 1]], [[2]]])
    })

    it('keeps its categories', async () => {
      const data = await of(['1.5,no,1,0', ',yes,2,0', '3.5,no,3,0', '2.5,yes,1,1'])
      expect((await whole(data.fixDl)).categories).toEqual([
        [1, 1],
        [2, 2],
        [1, 1],
      ])
      await expect(data.oneItem({ x: 1 })).rejects.toThrow(/no 'x_na'/)
    })

    it('flags of encoders that were saved without flagOf are told by their names', async () => {
      const { encoder } = await fromTable(file(houses), { ...settings, continuous: ['Area'] })
      const { categorical, ...rest } = encoder.description
      const saved = {
        ...rest,
        categorical: categorical.map(({ name, categories }) => ({ name, categories })),
      }
      expect(saved.categorical.at(-1)).toEqual({ name: 'Area_na', categories: ['false', 'true'] })
      const read = new TableEncoder(saved)
      expect(read.description).toEqual(encoder.description)
      expect(read.encodeRow({ Area: null, Zone: 'a', Rooms: 2 })).toEqual(
        encoder.encodeRow({ Area: null, Zone: 'a', Rooms: 2 }),
      )
    })
  })

  it('whole numbers of few values are categories, other numbers are not', async () => {
    const rows = Array.from(
      { length: 30 },
      (_, at) => `${at},${at % 3},${at / 2},${at % 2 ? 'x' : 'y'},${at}`,
    )
    const path = file(`many,few,half,text,y\n${rows.join('\n')}\n`)
    const { encoder } = await fromTable(path, { target: 'y', validPct: 0.2, batchSize: 4, seed: 1 })
    expect(encoder.description.continuous.map(({ name }) => name)).toEqual(['many', 'half'])
    expect(encoder.description.categorical.map(({ name }) => name)).toEqual(['few', 'text'])
  })

  it.each(['0x1f', '0b1', '0o7'])('%s is a text, as in pandas', async (id) => {
    const rows = ['10.5', '11.5', id, '12.5'].map((text, at) => `${text},${at + 0.5},${text}`)
    const path = file(`id,x,kind\n${rows.join('\n')}\n`)
    const { encoder, classes } = await fromTable(path, { target: 'kind', valid: path, batchSize: 1, seed: 1 })
    const sorted = ['10.5', '11.5', '12.5', id].sort()
    expect(encoder.description.categorical).toEqual([{ name: 'id', categories: sorted }])
    expect(classes).toEqual(sorted)
  })

  it.each(['+1.5', '.5', '1.', '-1e3', '1E+2', ' 2.5 '])('%s is a number, as in pandas', async (text) => {
    const path = file(`x,y\n${text},1\n0.25,2\n0.75,3\n`)
    const { encoder } = await fromTable(path, { target: 'y', valid: path, batchSize: 1, seed: 1 })
    expect(encoder.description.categorical).toEqual([])
    expect(encoder.description.continuous[0]!.mean).toBeCloseTo((Number(text) + 1) / 3, 12)
  })

  it('a column that never changes comes out as zeros, and other values by what they differ', async () => {
    // 0.1 has no exact sum of 60; 0.1 + 0.2 is 0.30000000000000004; gaps become the same value.
    const rows = Array.from({ length: 61 }, (_, at) =>
      at === 60 ? '0.1,0.7,1.1,1,1' : `0.1,${at % 2 ? 0.3 : 0.1 + 0.2},${at % 7 ? '0.1' : ''},${at},0`,
    )
    const data = await fromTable(file(`a,b,c,y,valid\n${rows.join('\n')}\n`), {
      ...{ target: 'y', continuous: ['a', 'b', 'c'], validColumn: 'valid', batchSize: 60, seed: 1 },
    })
    expect(data.encoder.description.continuous.map(({ std }) => std)).toEqual([1, 1, 1])
    for (const [a, b, c] of (await whole(data.fixDl)).numbers) {
      expect([a, c]).toEqual([0, 0])
      expect(b).toBeCloseTo(0, 15)
    }
    const [[a, b, c]] = (await whole(data.validDl!)).numbers as [number[]]
    expect(a).toBe(0)
    expect(b).toBeCloseTo(0.4, 6)
    expect(c).toBeCloseTo(1, 6)
  })

  it('values that are equal are one category, however they are written', async () => {
    const train = 'r,b,mixed,id,y\n0.0,True,1,01,0\n1.0,False,a,1,1\n2.0,True,2,7,2\n'
    const valid = 'r,b,mixed,id,y\n1,true,1.0,1.0,1.0\n02,FALSE,A,001,02\n3,yes,2,07,0.0\n'
    const data = await fromTable(file(train), {
      ...{ target: 'y', task: 'classification', valid: file(valid, 'valid.csv'), batchSize: 1, seed: 1 },
      categorical: ['r', 'b', 'mixed', 'id'],
    } as const)
    // Texts among the categories of `mixed` make all of it texts; of 01 and 1 each is written as itself or stands for the rest.
    const { categories, y } = await whole(data.validDl!)
    expect(categories).toEqual([
      [2, 2, 0, 2],
      [3, 1, 0, 2],
      [0, 0, 2, 3],
    ])
    expect(y).toEqual([1, 2, 0])
    const item = await data.oneItem({ r: 1, b: true, mixed: 'a', id: '01' })
    expect(numbers(item.x[0])).toEqual([[2, 2, 3, 1]])
  })

  it('ids with more digits than a number holds are not taken for each other', async () => {
    const [first, second, third] = ['9007199254740992', '9007199254740993', '9007199254740995']
    const path = file(`id,y\n${first},1\n${second},2\n`)
    const valid = file(`id,y\n${second},1\n${third},2\n`, 'valid.csv')
    const data = await fromTable(path, { target: 'y', categorical: ['id'], valid, batchSize: 1, seed: 1 })
    expect((await whole(data.validDl!)).categories).toEqual([[2], [0]])
  })

  it('takes for missing what pandas does', () => {
    // STR_NA_VALUES of pandas 2.
    const pandas = `-1.#IND 1.#QNAN 1.#IND -1.#QNAN #N/A N/A n/a NA <NA> #NA NULL null NaN -NaN nan -nan None`
    expect([...missingTexts].sort()).toEqual([...pandas.split(' '), '#N/A N/A', ''].sort())
  })

  it('warns of columns that a few texts among numbers made categories', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
    const rows = Array.from({ length: 40 }, (_, at) =>
      [
        at === 7 || at === 30 ? '?' : at / 4, // a measured number but for two rows
        at === 9 ? '#N/A' : at / 8,
        at === 8 ? 'none' : at % 3, // categories anyway
        at % 8 === 0 ? 'x' : at, // ids, of which an eighth are texts
        at === 10 ? '-' : at * 2,
      ].join(),
    )
    const path = file(`a,b,c,d,y\n${rows.join('\n')}\n`)
    const all = { valid: path, batchSize: 4, seed: 1 }
    const { encoder, classes } = await fromTable(path, { ...all, target: 'y' })
    expect([encoder.description.categorical.length, classes?.length]).toEqual([4, 40])
    expect(warn).toHaveBeenCalledTimes(1)
    const [message, { code }] = warn.mock.calls[0] as unknown as [string, { code: string }]
    expect(code).toBe('ANNEAL_TEXT_AMONG_NUMBERS')
    expect(message).toMatch(
      /texts:\n {2}'a': '\?' in [^\n]*table\.csv, line 9 and 1 more\n {2}'y': '-' in [^\n]*line 12\nIf/,
    )
    await fromTable(path, { ...all, target: 'y', categorical: ['a'], task: 'classification' })
    expect(warn).toHaveBeenCalledTimes(1)
    warn.mockRestore()
  })

  it('classes are texts, or what task says', async () => {
    const path = file('x,kind\n1.5,cat\n2.5,dog\n3.5,cat\n4.5,dog\n5.5,cat\n')
    const data = await fromTable(path, { target: 'kind', validPct: 0.2, batchSize: 2, seed: 1 })
    expect([data.classes, data.c, data.lossFunction]).toEqual([['cat', 'dog'], 2, 'crossEntropy'])
    expect((await data.oneBatch('fix')).y.dtype).toBe('int64')
    const digits = await fromTable(file('x,y\n1.5,7\n2.5,3\n3.5,7\n4.5,3\n5.5,7\n'), {
      target: 'y',
      task: 'classification',
      validPct: 0.2,
      batchSize: 2,
      seed: 1,
    })
    expect(digits.classes).toEqual(['3', '7'])
  })

  it('classes of numbers stand in the order of their values, texts in that of texts', async () => {
    const made = (values: readonly string[]) =>
      fromTable(
        file(
          `x,y\n${[values, values, values, values]
            .flat()
            .map((value, at) => `${at + 0.5},${value}`)
            .join('\n')}\n`,
        ),
        {
          target: 'y',
          task: 'classification',
          validPct: 0.15,
          batchSize: 2,
          seed: 1,
        },
      )
    const numbers = Array.from({ length: 12 }, (_, at) => String(at))
    const data = await made(numbers.toReversed())
    expect(data.classes).toEqual(numbers)
    expect((await made(['10', '-2', '1.5', '9'])).classes).toEqual(['-2', '1.5', '9', '10'])
    expect((await made(['10', '9', 'none'])).classes).toEqual(['10', '9', 'none'])
  })

  it('log learns the natural logarithm', async () => {
    const data = await fromTable(file(houses), { ...settings, log: true })
    const { y } = await data.oneBatch('fix')
    expect((y.toArray() as number[][])[0]![0]).toBeCloseTo(Math.log(10), 6)
    const path = file('x,y\n1.5,1\n2.5,0\n3.5,3\n4.5,3\n')
    const all = { target: 'y', log: true, valid: file('x,y\n1,1\n'), batchSize: 1 }
    await expect(fromTable(path, all)).rejects.toThrow(/line 3: 0 has no logarithm in the column 'y'/)
  })

  it('test rows need no target, and their other columns stay at hand', async () => {
    const test = file('Id,Area,Zone,Rooms,Valid\n9,100,a,2,\n10,NA,zzz,9,\n', 'test.csv')
    const data = await fromTable(file(houses), { ...settings, test, continuous: ['Area'] })
    const { categories } = await whole(data.testDl!)
    expect(categories).toEqual([
      [1, 1, 1],
      [0, 0, 2],
    ])
    expect((data.testDs as never as { column(name: string): string[] }).column('Id')).toEqual(['9', '10'])
  })

  it('batches and a single row agree', async () => {
    const data = await fromTable(file(houses), { ...settings, continuous: ['Area'] })
    const { x } = await data.oneItem({ Area: null, Zone: 'a', Rooms: 2 })
    const batch = await data.oneBatch('fix')
    for (const part of [0, 1] as const) {
      expect(numbers(x[part])).toEqual([numbers(batch.x[part])[1]])
    }
    await expect(data.oneItem({ Area: 1, Zone: 'a' })).rejects.toThrow(/no 'Rooms'/)
    await expect(data.oneItem({ Area: 'big', Zone: 'a', Rooms: 2 })).rejects.toThrow(
      /'big' in the column 'Area'/,
    )
  })

  describe('rows that cannot be used', () => {
    const bad = `x,zone,y
1.5,a,cat
2.5,b,dog
oops,a,cat
3.5,b,
4.5,a
5.5,b,dog
`
    const valid = 'x,zone,y\n1.5,a,cat\n1.5,a,fish\n'

    it('throw with file and line', async () => {
      const all = { target: 'y', continuous: ['x'], batchSize: 1, seed: 1 }
      const plain = (text: string, other = 'x,zone,y\n1,a,cat\n') =>
        fromTable(file(text), { ...all, valid: file(other, 'valid.csv') })
      await expect(plain(bad)).rejects.toThrow(/table\.csv, line 6: the row has 2 fields/)
      const complete = bad.replace('4.5,a\n', '')
      await expect(plain(complete)).rejects.toThrow(/table\.csv, line 5: there is no value in the column 'y'/)
      const labelled = complete.replace('3.5,b,\n', '')
      await expect(plain(labelled)).rejects.toThrow(
        /table\.csv, line 4: 'oops' in the column 'x' is no number/,
      )
      await expect(plain(labelled.replace('oops', '9.5'), valid)).rejects.toThrow(
        /valid\.csv, line 3: the class 'fish', which no training row has/,
      )
    })

    it('are left out, counted and listed', async () => {
      const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
      const data = await fromTable(file(bad), {
        target: 'y',
        continuous: ['x'],
        valid: file(valid, 'valid.csv'),
        batchSize: 1,
        seed: 1,
        onError: 'skip',
      })
      expect([data.trainDs.length, data.validDs!.length]).toEqual([3, 1])
      expect(data.skipped.map(({ item }) => item.split('/').at(-1)).sort()).toEqual([
        'table.csv, line 4',
        'table.csv, line 5',
        'table.csv, line 6',
        'valid.csv, line 3',
      ])
      expect(warn).toHaveBeenCalledTimes(1)
      expect(String(warn.mock.calls[0]![0])).toMatch(/^4 of 8 items were left out/)
      warn.mockRestore()
    })
  })

  it('rows that are left out shape no statistics, categories or classes', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
    const good = ['1.5,2.5,a,cat', '2.5,3.5,b,dog', '3.5,4.5,a,cat']
    const bad = ['oops,1000000.5,z,fish', '5.5,1000000.5,z,']
    const made = (rows: readonly string[]) =>
      fromTable(file(`x,w,zone,y\n${rows.join('\n')}\n`), {
        ...{ target: 'y', continuous: ['x'], onError: 'skip', batchSize: 1, seed: 1 },
        valid: file('x,w,zone,y\n1,1,a,cat\n', 'valid.csv'),
      } as const)
    const data = await made([...bad, ...good])
    const alone = await made(good)
    expect(data.encoder.description).toEqual(alone.encoder.description)
    expect(data.classes).toEqual(['cat', 'dog'])
    expect(data.skipped.map(({ reason }) => /line \d+: [^.]*/.exec(reason)![0])).toEqual([
      "line 2: 'oops' in the column 'x' is no number",
      "line 3: there is no value in the column 'y'",
    ])
    warn.mockRestore()
  })

  it.each([
    [{ target: 'Prize' }, DataError, /no column 'Prize'; the columns are 'Id', 'Area'/],
    [{ target: 'Price', continuous: ['Aria'] }, DataError, /no column 'Aria'/],
    [{ target: 'Price', ignore: ['Idd'] }, DataError, /no column 'Idd'/],
    [{ target: 'Price', validColumn: 'Valid', validPct: 0.3 }, ConfigError, /exclude each other/],
    [{ target: 'Price', validColumn: 'Zone' }, DataError, /keeps 0 of 8 rows for validation/],
    [
      { target: 'Price', continuous: ['Price'] },
      ConfigError,
      /'Price' is named as an input and also in target/,
    ],
    [
      { target: 'Zone', categorical: ['Zone'] },
      ConfigError,
      /'Zone' is named as an input and also in target/,
    ],
    [
      { target: 'Price', continuous: ['Id'], ignore: ['Id'] },
      ConfigError,
      /'Id' is named as an input and also in ignore/,
    ],
    [
      { target: 'Price', categorical: ['Valid'], validColumn: 'Valid' },
      ConfigError,
      /'Valid' is named as an input and also in validColumn/,
    ],
    [{ target: 'Zone', log: true }, ConfigError, /log is for regression/],
    [{ target: 'Price', catgorical: [] }, ConfigError, /unknown option catgorical/],
  ])('refuses %j', async (options, kind, message) => {
    const made = fromTable(file(houses), { batchSize: 1, seed: 1, ...options } as never)
    await expect(made).rejects.toThrow(kind)
    await expect(made).rejects.toThrow(message)
  })
})
