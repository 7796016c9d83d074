/** The library's errors name its own option; the command line has another for it, or none. */
const ADVICE = "onError: 'skip'"
const SENTENCE = /,? or leave such \w+ out with onError: 'skip'/g

/** An error's message with the option that a command has in the place of the library's. */
export function withOption(message: string): string {
  return message.replaceAll(ADVICE, '--skip-broken')
}

/** An error's message without an option that a command does not have, or has been given. */
export function withoutAdvice(message: string): string {
  return message.replace(SENTENCE, '')
}
