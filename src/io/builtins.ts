// Modules of Node's own that few programs need, and that take milliseconds of every start: loaded where they are used.

export const nodeCrypto = () => process.getBuiltinModule('node:crypto')
export const nodeChildProcess = () => process.getBuiltinModule('node:child_process')
export const nodeWorkerThreads = () => process.getBuiltinModule('node:worker_threads')
