/**
 * An exponentially weighted moving average without the bias towards zero of its first values (as Adam's moments):
 * m = beta m + (1 - beta) v, reported as m / (1 - beta^n).
 */
export class SmoothedValue {
  readonly beta: number
  #average = 0
  #count = 0

  /** @param beta weight of the past, default 0.98 (fastai's) */
  constructor(beta = 0.98) {
    this.beta = beta
  }

  /** Takes one more value in and returns the new average. */
  add(value: number): number {
    this.#average = this.beta * this.#average + (1 - this.beta) * value
    this.#count++
    return this.value
  }

  /** The average so far; NaN before the first value. */
  get value(): number {
    return this.#count === 0 ? Number.NaN : this.#average / (1 - this.beta ** this.#count)
  }

  /** What a checkpoint needs to go on from here. */
  get state(): { average: number; count: number } {
    return { average: this.#average, count: this.#count }
  }

  set state({ average, count }: { average: number; count: number }) {
    this.#average = average
    this.#count = count
  }
}
