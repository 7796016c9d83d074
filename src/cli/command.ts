/** One subcommand of `anneal`. */
export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** What `anneal NAME --help` prints. */
  readonly usage: string
  /** Does the work with the arguments after the name. Resolves to the exit code. */
  run(args: string[]): Promise<number>
}

/** A call that cannot be understood. Its message is printed with a pointer to the help; the exit code is 2. */
export class UsageError extends Error {}
