/** erf to double precision: its Taylor series near zero, the continued fraction of erfc beyond. */
export function erf(x: number): number {
  const size = Math.abs(x)
  if (size > 6) return Math.sign(x)
  if (size < 2.5) {
    let term = x
    let sum = x
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= -(x * x) / n
      sum += term / (2 * n + 1)
    }
    return (2 / Math.sqrt(Math.PI)) * sum
  }
  let fraction = 0
  for (let n = 120; n > 0; n--) fraction = n / 2 / (size + fraction)
  const erfc = Math.exp(-size * size) / Math.sqrt(Math.PI) / (size + fraction)
  return Math.sign(x) * (1 - erfc)
}

/** Numerator and denominator of a rational function, by rising powers. */
type Rational = readonly [numerator: readonly number[], denominator: readonly number[]]

// Of Wichura's algorithm AS 241 (1988), "PPND16": the normal quantile near the middle, in the flanks, and in the far tails.
const middle: Rational = [
  [
    3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946, 45921.95393154987,
    67265.7709270087, 33430.57558358813, 2509.0809287301227,
  ],
  [
    1, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597, 39307.89580009271,
    28729.085735721943, 5226.495278852854,
  ],
]
const flank: Rational = [
  [
    1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045, 1.2704582524523684,
    0.2417807251774506, 0.022723844989269184, 0.0007745450142783414,
  ],
  [
    1, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008, 0.015198666563616457,
    0.0005475938084995345, 1.0507500716444169e-9,
  ],
]
const tail: Rational = [
  [
    6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487, 0.026532189526576124,
    0.0012426609473880784, 0.000027115555687434876, 2.0103343992922881e-7,
  ],
  [
    1, 0.599832206555888, 0.1369298809227358, 0.014875361290850615, 0.0007868691311456133,
    0.000018463183175100548, 1.421511758316446e-7, 2.0442631033899397e-15,
  ],
]

/** The inverse of {@link erf}, to double precision. */
export function erfInverse(y: number): number {
  const size = Math.abs(y)
  if (!(size < 1)) return size === 1 ? y * Infinity : NaN
  if (size <= 0.85) return (y / 2 / Math.SQRT2) * ratio(middle, 0.180625 - (y * y) / 4)
  const depth = Math.sqrt(-Math.log((1 - size) / 2))
  const quantile = depth <= 5 ? ratio(flank, depth - 1.6) : ratio(tail, depth - 5)
  return (Math.sign(y) * quantile) / Math.SQRT2
}

function ratio([numerator, denominator]: Rational, x: number): number {
  let above = 0
  let below = 0
  for (let power = 7; power >= 0; power--) {
    above = above * x + numerator[power]!
    below = below * x + denominator[power]!
  }
  return above / below
}

/** Cumulative distribution of the standard normal. */
export function normalCdf(x: number): number {
  return 0.5 * (1 + erf(x / Math.SQRT2))
}
