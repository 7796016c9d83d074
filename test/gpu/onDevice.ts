// Runs a test file on another device: what it makes without saying where is made there.
import { setDefaultDevice } from '../../src/engine/index.ts'

setDefaultDevice(process.env.ANNEAL_TEST_DEVICE ?? 'cpu')
