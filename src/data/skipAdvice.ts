/** The option that errors of the data advise: how to go on without what cannot be read. */
export const skipOption = "onError: 'skip'"

/** The end of an error's advice: `things`, in the plural, may be left out instead. */
export function orLeaveOut(things: string, option = skipOption): string {
  return `, or leave such ${things} out with ${option}`
}

const leavingOut = new RegExp(orLeaveOut('\\w+'), 'g')

/** An error's message without that end, where the option has been set already or there is none. */
export function withoutAdvice(message: string): string {
  return message.replace(leavingOut, '')
}
