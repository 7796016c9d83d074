// CommonJS: newer Nodes can require a module.
const assert = require('node:assert/strict')
const { tensor } = require('anneal')

assert.deepEqual(tensor([1, 2]).add(1).toArray(), [2, 3])
console.log('ok')
