import { PickleDict, PickleSet, PickleTuple } from './pickleValues.ts'
import type { Unpickler } from './unpickler.ts'

/** The opcode that ends a pickle. */
export const STOP = 0x2e

type Handler = (machine: Unpickler) => void

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const tuple =
  (count: number): Handler =>
  (machine) => {
    const items = Array.from({ length: count }, () => machine.pop()).reverse()
    machine.push(new PickleTuple(items))
  }

/** Opcode to action. Names as in `pickletools`. */
export const HANDLERS: Readonly<Record<number, Handler>> = {
  // PROTO
  128: (machine) => {
    const protocol = machine.uint8()
    if (protocol > 5) throw machine.error(`pickle protocol ${protocol} is not known`)
  },
  // FRAME: only a hint for buffered reading
  149: (machine) => {
    machine.length64()
  },
  // MARK, POP, POP_MARK, DUP
  40: (machine) => machine.mark(),
  48: (machine) => {
    machine.pop()
  },
  49: (machine) => {
    machine.popToMark()
  },
  50: (machine) => machine.push(machine.top()),
  // NONE, NEWTRUE, NEWFALSE
  78: (machine) => machine.push(null),
  136: (machine) => machine.push(true),
  137: (machine) => machine.push(false),
  // BININT, BININT1, BININT2, LONG1, LONG4, BINFLOAT
  74: (machine) => machine.push(machine.int32()),
  75: (machine) => machine.push(machine.uint8()),
  77: (machine) => machine.push(machine.uint16()),
  138: (machine) => machine.push(machine.integer(machine.uint8())),
  139: (machine) => machine.push(machine.integer(machine.uint32())),
  71: (machine) => machine.push(machine.float64()),
  // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
  88: (machine) => machine.push(machine.text(machine.uint32())),
  140: (machine) => machine.push(machine.text(machine.uint8())),
  141: (machine) => machine.push(machine.text(machine.length64())),
  // BINSTRING, SHORT_BINSTRING: text of Python 2
  84: (machine) => machine.push(latin1(machine.take(machine.uint32()))),
  85: (machine) => machine.push(latin1(machine.take(machine.uint8()))),
  // BINBYTES, SHORT_BINBYTES, BINBYTES8
  66: (machine) => machine.push(machine.take(machine.uint32())),
  67: (machine) => machine.push(machine.take(machine.uint8())),
  142: (machine) => machine.push(machine.take(machine.length64())),
  // EMPTY_LIST, LIST, APPEND, APPENDS
  93: (machine) => machine.push([]),
  108: (machine) => machine.push(machine.popToMark()),
  97: (machine) => {
    const item = machine.pop()
    machine.append([item])
  },
  101: (machine) => {
    const items = machine.popToMark()
    machine.append(items)
  },
  // EMPTY_DICT, DICT, SETITEM, SETITEMS
  125: (machine) => machine.push(new PickleDict()),
  100: (machine) => machine.push(machine.fill(new PickleDict(), machine.popToMark())),
  115: (machine) => {
    const value = machine.pop()
    const key = machine.pop()
    machine.setItems([key, value])
  },
  117: (machine) => {
    const items = machine.popToMark()
    machine.setItems(items)
  },
  // EMPTY_SET, ADDITEMS, FROZENSET
  143: (machine) => machine.push(new PickleSet()),
  144: (machine) => {
    const items = machine.popToMark()
    machine.addItems(items)
  },
  145: (machine) => machine.push(new PickleSet(machine.popToMark())),
  // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
  41: tuple(0),
  133: tuple(1),
  134: tuple(2),
  135: tuple(3),
  116: (machine) => machine.push(new PickleTuple(machine.popToMark())),
  // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
  113: (machine) => machine.memoise(machine.uint8()),
  114: (machine) => machine.memoise(machine.uint32()),
  148: (machine) => machine.memoise(),
  104: (machine) => machine.recall(machine.uint8()),
  106: (machine) => machine.recall(machine.uint32()),
  // GLOBAL, STACK_GLOBAL
  99: (machine) => {
    const module = machine.line()
    machine.global(module, machine.line())
  },
  147: (machine) => {
    const name = machine.pop()
    machine.global(machine.pop(), name)
  },
  // INST looks a name up and calls it. State dicts do not use it; it is read so that the message can tell the name.
  105: (machine) => {
    const module = machine.line()
    machine.global(module, machine.line())
    throw machine.error('it uses the INST opcode, which tensors and plain containers do not need')
  },
  // BINPERSID, REDUCE, BUILD
  81: (machine) => machine.push(machine.host.persistent(machine.pop())),
  82: (machine) => machine.reduce(),
  98: (machine) => machine.build(),
}
