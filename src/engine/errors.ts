/** Stable identifiers of the kinds of failure, for programs that branch on them. */
export type ErrorCode =
  | 'ANNEAL_ERROR'
  | 'SHAPE'
  | 'DTYPE'
  | 'DEVICE'
  | 'DATA'
  | 'CHECKPOINT'
  | 'CONFIG'
  | 'AUTOGRAD'
  | 'OUT_OF_MEMORY'
  | 'KERNEL'
  | 'DIVERGENCE'

/** Base of every error that Anneal throws on purpose. `code` is stable across versions; the message is for people. */
export class AnnealError extends Error {
  readonly code: ErrorCode
  constructor(message: string, code: ErrorCode = 'ANNEAL_ERROR', options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** Shapes, dimensions or indices that do not fit an operation. */
export class ShapeError extends AnnealError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'SHAPE', options)
  }
}

/** An element type that an operation does not take. */
export class DTypeError extends AnnealError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'DTYPE', options)
  }
}

/** A device that is missing, unknown, or different from that of the other operands. */
export class DeviceError extends AnnealError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'DEVICE', options)
  }
}

/** Files, folders, tables or pictures that cannot be used as data. The message names the file. */
export class DataError extends AnnealError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'DATA', options)
  }
}

/** Weights or checkpoints that cannot be read, written or matched to a model. */
export class CheckpointError extends AnnealError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'CHECKPOINT', options)
  }
}

/** An option, name or value that a function does not accept. */
export class ConfigError extends AnnealError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'CONFIG', options)
  }
}

/** A backward pass that cannot be done: no graph, a freed graph, or a value changed in place since it was saved. */
export class AutogradError extends AnnealError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'AUTOGRAD', options)
  }
}

/** An allocation that cannot succeed. The message says how much was asked for, used and available. */
export class OutOfMemoryError extends AnnealError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'OUT_OF_MEMORY', options)
  }
}

/** A failure inside a kernel, found at the next read of a value. The message names the operation. */
export class KernelError extends AnnealError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'KERNEL', options)
  }
}
