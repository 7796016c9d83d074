import { InvalidArgumentError } from 'commander'

/** A whole number of at least `min`. */
export const integer =
  (min: number) =>
  (text: string): number => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < min) {
      throw new InvalidArgumentError(`It must be a whole number of at least ${min}.`)
    }
    return value
  }

/** A number above `above`, and below `below` if that is given. */
export const number =
  (above: number, below = Number.POSITIVE_INFINITY) =>
  (text: string): number => {
    const value = Number(text)
    if (text.trim() === '' || !(value > above && value < below)) {
      throw new InvalidArgumentError(
        `It must be a number above ${above}${below === Number.POSITIVE_INFINITY ? '' : ` and below ${below}`}.`,
      )
    }
    return value
  }
