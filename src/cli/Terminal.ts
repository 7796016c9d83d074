import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

/**
 * Where a command speaks. People read stdout; with `--json` that is for the program that asked, one JSON value, and everything
 * else goes to stderr. Colours and bars are for terminals only (NO_COLOR and FORCE_COLOR are heeded).
 */
export class Terminal {
  readonly json: boolean
  /** Where text for people goes, tables and progress among it. */
  readonly stream: NodeJS.WriteStream
  readonly #colours: boolean

  constructor({ json = false }: { json?: boolean } = {}) {
    this.json = json
    this.stream = json ? process.stderr : process.stdout
    const { NO_COLOR, FORCE_COLOR } = process.env
    this.#colours = FORCE_COLOR ? FORCE_COLOR !== '0' : this.stream.isTTY === true && !NO_COLOR
  }

  /** A line for people. */
  say(text = ''): void {
    this.stream.write(`${text}\n`)
  }

  /** Something that went wrong without ending the command. */
  warn(text: string): void {
    process.stderr.write(`${text}\n`)
  }

  /** The result, for programs; nothing without `--json`. */
  result(value: unknown): void {
    if (this.json) process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
  }

  style(style: Style, text: string): string {
    return this.#colours ? styleText(style, text) : text
  }

  /** A heading. */
  title(text: string): void {
    this.say(this.style('bold', text))
  }
}
