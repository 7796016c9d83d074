import { ConfigError } from '../../engine/errors.ts'
import type { Exporters } from '../Arguments.ts'
import { arrange } from './arrange.ts'
import { elementwise } from './elementwise.ts'
import { layers } from './layers.ts'
import { reduce } from './reduce.ts'
import { spatial } from './spatial.ts'

/** How each op of the engine's table is said in ONNX. Those that are not here have no form there. */
export const exporters: Exporters = { ...elementwise, ...arrange, ...reduce, ...layers, ...spatial }

/** Refuses all ops without a form in ONNX at once, with how often each is called. */
export function refuseUnknown({ steps }: { steps: readonly { op: string }[] }): void {
  const counts = new Map<string, number>()
  for (const { op } of steps) {
    if (!Object.hasOwn(exporters, op)) counts.set(op, (counts.get(op) ?? 0) + 1)
  }
  if (counts.size === 0) return
  const list = [...counts].map(([op, count]) => `${op}${count > 1 ? ` (${count} times)` : ''}`)
  throw new ConfigError(
    `the model cannot be exported to ONNX: there is no form for ${list.join(', ')}. ` +
      'Write that part with other operations, or export the parts around it',
  )
}
