import { parseArgs } from 'node:util'
import { AnnealError, ConfigError } from '../../src/engine/errors.ts'

/** One command-line flag: what it takes, and how its text becomes a value. */
export interface Flag<Value> {
  /** What stands for the value in the help; undefined for a switch, which takes none. */
  placeholder: string | undefined
  help: string
  /** Value when the flag is absent; undefined if it must be given. */
  fallback: Value | undefined
  /** @throws ConfigError that says what is expected. */
  read(text: string): Value
}

/** A flag that takes any text; without `fallback` it must be given. */
export const text = (placeholder: string, help: string, fallback?: string): Flag<string> => ({
  placeholder,
  help,
  fallback,
  read(value) {
    if (value === '') throw new ConfigError(`needs a ${placeholder}, got an empty one`)
    return value
  },
})

/** A flag that takes a whole number of at least `min`. */
export const integer = (help: string, fallback: number, min = 1): Flag<number> => ({
  placeholder: 'N',
  help,
  fallback,
  read(value) {
    const number = Number(value)
    if (value.trim() === '' || !Number.isSafeInteger(number) || number < min) {
      throw new ConfigError(`needs a whole number of at least ${min}, got '${value}'`)
    }
    return number
  },
})

/** A flag that is on when present. */
export const toggle = (help: string): Flag<boolean> => ({
  placeholder: undefined,
  help,
  fallback: false,
  read: () => true,
})

type Values<Flags> = { [Name in keyof Flags]: Flags[Name] extends Flag<infer Value> ? Value : never }

/**
 * Reads a recipe's command line: `batchSize` in `flags` is `--batch-size` to type. `--help` prints `about` and the flags.
 * A bad command line, and from then on every error of Anneal's own, ends the process with the message and exit code 1;
 * other errors keep their stack, since they are bugs.
 */
export function readOptions<const Flags extends Record<string, Flag<unknown>>>(
  about: string,
  flags: Flags,
): Values<Flags> {
  process.on('uncaughtException', (error) => {
    console.error(error instanceof AnnealError ? `${error.name}: ${error.message}` : error)
    process.exit(1)
  })
  const named = Object.entries(flags).map(([key, flag]) => ({ key, flag, name: kebabCase(key) }))
  const given = parse(
    named.map(({ name, flag }) => [name, flag.placeholder === undefined ? 'boolean' : 'string']),
  )
  if (given.help === true) {
    console.log(`${about.trim()}\n\n${helpLines(named).join('\n')}`)
    process.exit(0)
  }
  const values: Record<string, unknown> = {}
  for (const { key, flag, name } of named) {
    const value = given[name]
    values[key] = value === undefined ? flag.fallback : read(flag, name, String(value))
  }
  for (const { key, flag, name } of named) {
    if (values[key] === undefined) {
      throw new ConfigError(`--${name} ${flag.placeholder} is missing; --help tells about it`)
    }
  }
  return values as Values<Flags>
}

function read<Value>(flag: Flag<Value>, name: string, value: string): Value {
  try {
    return flag.read(value)
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(`--${name} ${error.message}`) : error
  }
}

function parse(flags: (readonly [string, 'boolean' | 'string'])[]): Record<string, unknown> {
  try {
    const options = Object.fromEntries([
      ...flags.map(([name, type]) => [name, { type }] as const),
      ['help', { type: 'boolean' as const, short: 'h' }],
    ])
    return parseArgs({ options, strict: true }).values
  } catch (error) {
    if (!String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')) throw error
    const names = flags.map(([name]) => `--${name}`).join(', ')
    throw new ConfigError(`${(error as Error).message.split('. ')[0]}. The flags are ${names}, --help`)
  }
}

function helpLines(flags: { name: string; flag: Flag<unknown> }[]): string[] {
  const rows = flags.map(({ name, flag }) => {
    const { placeholder, help, fallback } = flag
    const note =
      placeholder === undefined ? '' : fallback === undefined ? ' (required)' : ` (default ${fallback})`
    return [`--${name}${placeholder === undefined ? '' : ` ${placeholder}`}`, help + note] as const
  })
  rows.push(['--help', 'this text'])
  const width = Math.max(...rows.map(([left]) => left.length)) + 2
  return rows.map(([left, right]) => `  ${left.padEnd(width)}${right}`)
}

const kebabCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
