/** The option that errors of the data advise: how to go on without what cannot be read. */
export const skipOption = "onError: 'skip'"

const advice = new RegExp(`,? or leave such \\w+ out with ${skipOption}`, 'g')

/** An error's message without that advice, where the option has been set already or there is none. */
export function withoutAdvice(message: string): string {
  return message.replace(advice, '')
}
