import { show } from '../engine/check.ts'
import { ConfigError } from '../engine/errors.ts'
import { type PadMode, pad, type Tensor } from '../engine/index.ts'
import { Module } from './Module.ts'
import { reprValue } from './repr.ts'

/** One number for all sides, or `[left, right, top, bottom]`. */
export type Sides = number | readonly [number, number, number, number]

abstract class Pad2d extends Module {
  readonly padding: readonly [number, number, number, number]
  readonly #mode: PadMode

  constructor(padding: Sides, mode: PadMode) {
    super()
    const sides: readonly number[] =
      typeof padding === 'number' ? [padding, padding, padding, padding] : padding
    if (!Array.isArray(sides) || sides.length !== 4 || !sides.every((size) => Number.isInteger(size))) {
      throw new ConfigError(
        `${this.constructor.name}: the padding must be an integer or four, [left, right, top, bottom], got ` +
          show(padding),
      )
    }
    this.padding = [...sides] as [number, number, number, number]
    this.#mode = mode
  }

  override forward(x: Tensor): Tensor {
    return pad(x, this.padding, { mode: this.#mode })
  }

  override extraRepr(): string {
    return reprValue(this.padding)
  }
}

/**
 * A border in which the picture goes on as in a mirror, edge pixels not repeated: `[N, C, H, W]` or `[C, H, W]` to
 * H + top + bottom by W + left + right. Narrower than the picture.
 */
export class ReflectionPad2d extends Pad2d {
  constructor(padding: Sides) {
    super(padding, 'reflect')
  }
}

/** A border that repeats the edge pixels. */
export class ReplicationPad2d extends Pad2d {
  constructor(padding: Sides) {
    super(padding, 'replicate')
  }
}

/** A border of zeros. */
export class ZeroPad2d extends Pad2d {
  constructor(padding: Sides) {
    super(padding, 'constant')
  }
}
