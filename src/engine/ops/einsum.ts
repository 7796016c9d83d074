import { requireTensor, show } from '../check.ts'
import { ConfigError, ShapeError } from '../errors.ts'
import type { Tensor } from '../tensor.ts'
import { mul } from './binary.ts'
import { matmul } from './matmul.ts'
import { sum } from './reduce.ts'
import { diagonal } from './triangle.ts'
import { permute } from './view.ts'

/** A tensor whose dimensions have names, all different. */
interface Labelled {
  tensor: Tensor
  labels: string[]
}

const letters = /^[A-Za-z]$/

// The labels of one operand or of the output; an ellipsis becomes labels '0', '1', … counted from the right.
function parseTerm(term: string, equation: string, hidden: number): string[] {
  const parts = term.split('...')
  if (parts.length > 2) throw new ConfigError(`einsum: '...' appears twice in ${JSON.stringify(term)}`)
  const named = parts.map((part) => [...part])
  for (const label of named.flat()) {
    if (!letters.test(label)) {
      throw new ConfigError(
        `einsum: expected letters, '...', ',' and '->' in ${JSON.stringify(equation)}, found ${JSON.stringify(label)}`,
      )
    }
  }
  if (parts.length === 1) return named[0] as string[]
  const middle = Array.from({ length: hidden }, (_, i) => String(hidden - 1 - i))
  return [...(named[0] as string[]), ...middle, ...(named[1] as string[])]
}

function labelOperand(tensor: Tensor, term: string, equation: string): Labelled {
  const named = term.replace('...', '').length
  const hasEllipsis = term.includes('...')
  if (hasEllipsis ? tensor.ndim < named : tensor.ndim !== named) {
    throw new ShapeError(
      `einsum: ${JSON.stringify(term)} names ${named} dimensions of a tensor of shape [${tensor.shape.join(', ')}]`,
    )
  }
  return diagonalised({ tensor, labels: parseTerm(term, equation, tensor.ndim - named) })
}

// A label that appears twice in one operand stands for the diagonal.
function diagonalised({ tensor, labels }: Labelled): Labelled {
  const first = labels.findIndex((label, i) => labels.indexOf(label, i + 1) > i)
  if (first < 0) return { tensor, labels }
  const label = labels[first] as string
  const second = labels.indexOf(label, first + 1)
  if (tensor.size(first) !== tensor.size(second)) {
    throw new ShapeError(
      `einsum: ${label} stands for sizes ${tensor.size(first)} and ${tensor.size(second)} of one tensor`,
    )
  }
  const rest = labels.filter((_, i) => i !== first && i !== second)
  return diagonalised({ tensor: diagonal(tensor, 0, first, second), labels: [...rest, label] })
}

function summed({ tensor, labels }: Labelled, keep: (label: string) => boolean): Labelled {
  const dims = labels.flatMap((label, i) => (keep(label) ? [] : [i]))
  return dims.length === 0 ? { tensor, labels } : { tensor: sum(tensor, dims), labels: labels.filter(keep) }
}

function arranged({ tensor, labels }: Labelled, order: readonly string[]): Tensor {
  return permute(
    tensor,
    order.map((label) => labels.indexOf(label)),
  )
}

function sizeOf({ tensor, labels }: Labelled, label: string): number {
  return tensor.size(labels.indexOf(label))
}

// A dimension of size one stands for any size: dropped where the other operand has the real one.
function withoutBroadcast(one: Labelled, other: Labelled): Labelled {
  const dropped = one.labels.filter(
    (label) => other.labels.includes(label) && sizeOf(one, label) === 1 && sizeOf(other, label) !== 1,
  )
  return dropped.reduce(
    ({ tensor, labels }, label) => ({
      tensor: tensor.squeeze(labels.indexOf(label)),
      labels: labels.filter((each) => each !== label),
    }),
    one,
  )
}

// The sum over all labels that are in both and not wanted afterwards: a stack of matrix products.
function contract(left: Labelled, right: Labelled, keep: (label: string) => boolean): Labelled {
  for (const label of left.labels) {
    if (!right.labels.includes(label)) continue
    const [a, b] = [sizeOf(left, label), sizeOf(right, label)]
    if (a !== b && a !== 1 && b !== 1) {
      throw new ShapeError(
        `einsum: ${/\d/.test(label) ? "'...'" : label} stands for sizes ${a} and ${b} in shapes ` +
          `[${left.tensor.shape.join(', ')}] and [${right.tensor.shape.join(', ')}]`,
      )
    }
  }
  const x = withoutBroadcast(left, right)
  const y = withoutBroadcast(right, left)
  const a = summed(x, (label) => y.labels.includes(label) || keep(label))
  const b = summed(y, (label) => x.labels.includes(label) || keep(label))
  const both = a.labels.filter((label) => b.labels.includes(label))
  const batch = both.filter(keep)
  const inner = both.filter((label) => !keep(label))
  const rows = a.labels.filter((label) => !both.includes(label))
  const columns = b.labels.filter((label) => !both.includes(label))
  const sizes = (from: Labelled, labels: readonly string[]) => labels.map((label) => sizeOf(from, label))
  const count = (list: readonly number[]) => list.reduce((product, size) => product * size, 1)
  const [batchSizes, rowSizes, columnSizes] = [sizes(a, batch), sizes(a, rows), sizes(b, columns)]
  const [n, r, k, c] = [count(batchSizes), count(rowSizes), count(sizes(a, inner)), count(columnSizes)]
  const first = arranged(a, [...batch, ...rows, ...inner]).reshape([n, r, k])
  const second = arranged(b, [...batch, ...inner, ...columns]).reshape([n, k, c])
  const product = inner.length === 0 ? mul(first, second) : matmul(first, second)
  return {
    tensor: product.reshape([...batchSizes, ...rowSizes, ...columnSizes]),
    labels: [...batch, ...rows, ...columns],
  }
}

// Without '->': the ellipsis, then the labels that appear once, in alphabetical order (capitals first).
function impliedOutput(terms: readonly string[], hidden: readonly string[]): string[] {
  const all = terms.flatMap((term) => [...term.replace('...', '')])
  const once = all.filter((label) => all.indexOf(label) === all.lastIndexOf(label))
  return [...hidden, ...once.sort((a, b) => (a < b ? -1 : 1))]
}

/**
 * Einstein's sum: `einsum('bij,bjk->bik', a, b)`. Letters name dimensions; those that the output does not name are
 * summed over, one that an operand names twice is its diagonal, '...' stands for the rest, which broadcasts. Without '->'
 * the output has what appears once, in alphabetical order. More than two operands are taken from left to right.
 * @throws ConfigError for an equation that cannot be read, ShapeError for sizes that do not fit.
 */
export function einsum(equation: string, ...operands: Tensor[]): Tensor {
  if (typeof equation !== 'string') {
    throw new ConfigError(`einsum: the equation must be a string, got ${show(equation)}`)
  }
  for (const operand of operands) requireTensor('einsum', 'operand', operand)
  const compact = equation.replaceAll(' ', '')
  const [left = '', right, ...more] = compact.split('->')
  const terms = left.split(',')
  if (more.length > 0 || terms.length !== operands.length) {
    throw new ConfigError(
      `einsum: ${JSON.stringify(equation)} is about ${terms.length} operands, ${operands.length} were given`,
    )
  }
  const labelled = operands.map((operand, i) => labelOperand(operand, terms[i] as string, equation))
  const hiddenCount = Math.max(
    0,
    ...labelled.map(({ labels }) => labels.filter((label) => /\d/.test(label)).length),
  )
  const hidden = Array.from({ length: hiddenCount }, (_, i) => String(hiddenCount - 1 - i))
  const output = right === undefined ? impliedOutput(terms, hidden) : parseTerm(right, equation, hiddenCount)
  output.forEach((label, i) => {
    const known = labelled.some(({ labels }) => labels.includes(label))
    if (!known || output.indexOf(label) !== i) {
      throw new ConfigError(
        `einsum: the output of ${JSON.stringify(equation)} names ${label} ${known ? 'twice' : 'out of nothing'}`,
      )
    }
  })
  let result = labelled[0] as Labelled
  for (let i = 1; i < labelled.length; i++) {
    const later = labelled.slice(i + 1).flatMap(({ labels }) => labels)
    const needed = (label: string) => output.includes(label) || later.includes(label)
    result = contract(result, labelled[i] as Labelled, needed)
  }
  return arranged(
    summed(result, (label) => output.includes(label)),
    output,
  )
}
