const decimal = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i

/** A finite number, or undefined. Texts are decimal, as pandas reads them: to JavaScript '0x1f' is a number too. */
export function toNumber(value: string | number | boolean | null | undefined): number | undefined {
  if (typeof value === 'string' && !decimal.test(value.trim())) return undefined
  const number = Number(value)
  return typeof value !== 'boolean' && Number.isFinite(number) ? number : undefined
}
