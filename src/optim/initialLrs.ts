/**
 * The rate of a parameter group before the first scheduler touched it, or that which a cycle begins with: schedulers that are made
 * later start from there too. PyTorch's `initial_lr`, which is an entry of the group there.
 */
export const initialLrs = new WeakMap<object, number>()
