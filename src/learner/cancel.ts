/**
 * Thrown from any callback event, each leaves its loop at once and cleanly; none is an error, and none leaves `fit`.
 * The end event of the loop that was left still runs, those of loops inside do not. Gradients of a batch that was left after its
 * backward pass are dropped, with all that they were added to.
 */
abstract class Cancel extends Error {
  constructor(message?: string) {
    super(message ?? `${new.target.name} was thrown outside of the loop that it leaves`)
    this.name = new.target.name
  }
}

/** Skips what is left of the batch: no step is taken with it. `onBatchEnd` follows, with `cancelled` set. */
export class CancelBatch extends Cancel {}

/** Skips what is left of the epoch, validation included. `onEpochEnd` follows, then the next epoch. */
export class CancelEpoch extends Cancel {}

/** Skips what is left of the validation. `onEpochEnd` follows; validation loss and metrics are null. */
export class CancelValidation extends Cancel {}

/** Ends the fit. `onTrainEnd` follows. */
export class CancelFit extends Cancel {}

/** Runs `body`; tells whether it was left by the cancellation `kind`, which ends here. Other errors go on. */
export async function leftBy(kind: new () => Error, body: () => Promise<void>): Promise<boolean> {
  try {
    await body()
    return false
  } catch (error) {
    if (error instanceof kind) return true
    throw error
  }
}
