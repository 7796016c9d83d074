import { noGrad, type Tensor } from '../../engine/index.ts'

/** A sum that grows on the device, batch by batch, and is read once, at the end: no batch waits for it. */
export class DeviceSum {
  #sum: Tensor | undefined
  #values: Promise<number[]> | undefined

  /** Adds what `terms` makes: tensors of one shape and dtype each time. */
  add(terms: () => Tensor): void {
    noGrad(() => {
      const addend = terms()
      if (this.#sum) this.#sum.add_(addend)
      else this.#sum = addend.detach().clone().keep()
    })
  }

  /** The sum in place, for what is more than an addition; `create` makes it, all zeros, at first. */
  change(create: () => Tensor, by: (sum: Tensor) => void): void {
    noGrad(() => {
      this.#sum ??= create().keep()
      by(this.#sum)
    })
  }

  /** The values, flat; none if nothing was added. The tensor is freed. */
  read(): Promise<number[]> {
    this.#values ??= this.#read()
    return this.#values
  }

  async #read(): Promise<number[]> {
    if (!this.#sum) return []
    const values = Array.from(await this.#sum.data(), Number)
    this.#sum.dispose()
    this.#sum = undefined
    return values
  }
}
