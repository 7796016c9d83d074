import { packageVersion } from '../packageFolder.ts'
import { buildCommand } from './buildCommand.ts'
import { type Command, UsageError } from './command.ts'
import { infoCommand } from './infoCommand.ts'

const commands: readonly Command[] = [buildCommand, infoCommand]

const usage = () => `Usage: anneal COMMAND [options]

Trains neural networks from TypeScript, in this process, on a native engine.

${commands.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}`).join('\n')}

  --help        this text; anneal COMMAND --help tells about a command
  --version     the version`

/** The `anneal` command line. Resolves to the exit code: 0 done, 1 failed, 2 not understood. */
export async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args
  try {
    if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
      console.log(rest[0] === undefined ? usage() : find(rest[0]).usage)
      return name === undefined ? 2 : 0
    }
    if (name === '--version' || name === '-v') {
      console.log(packageVersion())
      return 0
    }
    const command = find(name)
    if (rest.includes('--help') || rest.includes('-h')) {
      console.log(command.usage)
      return 0
    }
    return await command.run(rest)
  } catch (error) {
    if (!isUsageError(error)) throw error
    console.error(`anneal: ${error.message}\nanneal --help lists what there is.`)
    return 2
  }
}

function find(name: string): Command {
  const command = commands.find((candidate) => candidate.name === name)
  if (command) return command
  const names = commands.map((candidate) => candidate.name).join(', ')
  throw new UsageError(`there is no command ${JSON.stringify(name)}; the commands are ${names}`)
}

/** Our own, and those that node:util's parseArgs throws for unknown or malformed options. */
function isUsageError(error: unknown): error is Error {
  if (error instanceof UsageError) return true
  return error instanceof Error && String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')
}
