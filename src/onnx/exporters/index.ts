import type { Exporters } from '../GraphBuilder.ts'
import { arrange } from './arrange.ts'
import { elementwise } from './elementwise.ts'
import { layers } from './layers.ts'
import { reduce } from './reduce.ts'
import { spatial } from './spatial.ts'

/** How each op of the engine's table is said in ONNX. Those that are not here have no form there. */
export const exporters: Exporters = { ...elementwise, ...arrange, ...reduce, ...layers, ...spatial }
