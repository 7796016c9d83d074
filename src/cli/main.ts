import { Command, CommanderError } from 'commander'
import { skipOption, withoutAdvice } from '../data/skipAdvice.ts'
import { AnnealError } from '../engine/errors.ts'
import { packageVersion } from '../packageFolder.ts'
import { addBuild } from './buildCommand.ts'
import { addDownload } from './downloadCommand.ts'
import { addEvaluate } from './evaluateCommand.ts'
import { addExport } from './exportCommand.ts'
import { addInfo } from './infoCommand.ts'
import { addLrFind } from './lrFindCommand.ts'
import { addPredict } from './predictCommand.ts'
import { addTrain } from './trainCommand.ts'

const examples = `
Examples:
  anneal build                                       once, after installing the package
  anneal train bees --out out                        bees/train/<class>/*.jpg, bees/valid/<class>/*.jpg
  anneal predict out/model.safetensors bee.jpg
  anneal evaluate out/model.safetensors bees/test
  anneal export out/model.safetensors model.onnx

anneal COMMAND --help tells about a command and shows examples. With ANNEAL_DEBUG=1 errors come with their stack.`

function makeProgram(): Command {
  const program = new Command('anneal')
    .description('Trains neural networks in this process, on a native engine.')
    .version(packageVersion(), '-v, --version', 'the version')
    .helpOption('-h, --help', 'this text')
    .helpCommand('help [command]', 'the same as COMMAND --help')
    .usage('COMMAND [options]')
    .showSuggestionAfterError()
    .showHelpAfterError(false)
    .addHelpText('after', examples)
    .exitOverride()
    .configureHelp({ helpWidth: Math.min(process.stdout.columns ?? 100, 110), sortSubcommands: false })
  for (const add of [
    addTrain,
    addLrFind,
    addPredict,
    addEvaluate,
    addExport,
    addDownload,
    addInfo,
    addBuild,
  ]) {
    add(program)
  }
  for (const command of program.commands) {
    command.helpOption('-h, --help', 'this text').exitOverride().copyInheritedSettings(program)
  }
  return program
}

/** The `anneal` command line. Resolves to the exit code: 0 done, 1 failed, 2 not understood. */
export async function main(args: string[]): Promise<number> {
  process.stdout.off('error', leaveQuietly).on('error', leaveQuietly)
  const program = makeProgram()
  try {
    await program.parseAsync(args, { from: 'user' })
    return Number(process.exitCode ?? 0)
  } catch (error) {
    if (error instanceof CommanderError) return usageCode(error, args)
    const command = program.commands.find((known) => known.name() === args[0])
    const skips = command?.options.some(({ long }) => long === '--skip-broken') ?? false
    report(error, { json: args.includes('--json'), quiet: args.includes('--quiet'), skips })
    return 1
  }
}

/** `anneal predict … | head` ends the pipe early, which is no failure. */
function leaveQuietly(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
}

/** Commander has printed the message, or the help that was asked for. */
function usageCode(error: CommanderError, args: readonly string[]): number {
  if (args.length === 0) return 2
  if (['commander.helpDisplayed', 'commander.help', 'commander.version'].includes(error.code))
    return error.exitCode
  process.stderr.write('anneal --help lists what there is; anneal COMMAND --help tells about a command.\n')
  return 2
}

/** What went wrong, in words; for people on stderr, for programs on stdout too. */
function report(
  error: unknown,
  { json, quiet, skips }: { json: boolean; quiet: boolean; skips: boolean },
): void {
  const { message: told = String(error), code = 'ERROR' } = error as { message?: string; code?: string }
  // The library speaks of its own option.
  const message = skips ? told.replaceAll(skipOption, '--skip-broken') : withoutAdvice(told)
  if (json) console.log(JSON.stringify({ error: { code, message } }, null, 2))
  if (quiet) return
  if (process.env.ANNEAL_DEBUG) console.error(error)
  else if (error instanceof AnnealError) console.error(`anneal: ${message}`)
  else console.error(`anneal: ${message} (ANNEAL_DEBUG=1 shows where)`)
}
