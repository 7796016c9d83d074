import { writeFileAtomic } from './atomicFile.ts'
import { countElements, type StoredDType, type TensorInfo } from './rawTensor.ts'
import { checkedBytes, type TensorToWrite } from './safetensors.ts'
import { type ZipMember, zipArchive } from './zipWriter.ts'

const STORAGE_CLASS: Readonly<Record<StoredDType, string>> = {
  float64: 'DoubleStorage',
  float32: 'FloatStorage',
  float16: 'HalfStorage',
  bfloat16: 'BFloat16Storage',
  int64: 'LongStorage',
  int32: 'IntStorage',
  int16: 'ShortStorage',
  int8: 'CharStorage',
  uint8: 'ByteStorage',
  bool: 'BoolStorage',
}

/** Name of the folder inside the archive; torch.load takes any. */
const FOLDER = 'archive'

/**
 * Writes a state dict in the zip format of `torch.save`, atomically. `torch.load(file, weights_only=True)` reads it
 * as an OrderedDict of tensors on the CPU.
 *
 * @throws CheckpointError that names the file when it cannot be written
 */
export async function writePthFile(
  file: string,
  tensors: Iterable<readonly [string, TensorToWrite]>,
): Promise<void> {
  const entries = [...tensors]
  const members: ZipMember[] = [
    { name: `${FOLDER}/data.pkl`, data: pickleStateDict(entries) },
    { name: `${FOLDER}/byteorder`, data: Buffer.from('little') },
    ...entries.map(([name, tensor], index) => ({
      name: `${FOLDER}/data/${index}`,
      data: () => checkedBytes(name, tensor),
    })),
    { name: `${FOLDER}/version`, data: Buffer.from('3\n') },
  ]
  await writeFileAtomic(file, zipArchive(members))
}

/** The pickle (protocol 2) of an OrderedDict of tensors, each on a storage of its own, named by its number. */
function pickleStateDict(entries: readonly (readonly [string, TensorInfo])[]): Uint8Array {
  const dict = [global('collections', 'OrderedDict'), EMPTY_TUPLE, REDUCE]
  const items = entries.flatMap(([name, tensor], index) => [
    text(name),
    ...pickleTensor(tensor, String(index), name),
  ])
  return Buffer.concat([PROTO_2, ...dict, MARK, ...items, SETITEMS, STOP])
}

function pickleTensor({ dtype, shape }: TensorInfo, key: string, name: string): Buffer[] {
  const count = countElements(shape, `tensor "${name}"`)
  const strides = shape.map((_, dim) =>
    shape.slice(dim + 1).reduce((product, size) => product * Math.max(size, 1), 1),
  )
  const storage = [
    text('storage'),
    global('torch', STORAGE_CLASS[dtype]),
    text(key),
    text('cpu'),
    integer(count),
  ]
  return [
    global('torch._utils', '_rebuild_tensor_v2'),
    MARK,
    ...[MARK, ...storage, TUPLE, BINPERSID],
    integer(0),
    ...[MARK, ...shape.map(integer), TUPLE],
    ...[MARK, ...strides.map(integer), TUPLE],
    NEWFALSE,
    ...[global('collections', 'OrderedDict'), EMPTY_TUPLE, REDUCE],
    TUPLE,
    REDUCE,
  ]
}

const PROTO_2 = Buffer.from([0x80, 2])
const EMPTY_TUPLE = Buffer.from(')')
const REDUCE = Buffer.from('R')
const MARK = Buffer.from('(')
const TUPLE = Buffer.from('t')
const BINPERSID = Buffer.from('Q')
const NEWFALSE = Buffer.from([0x89])
const SETITEMS = Buffer.from('u')
const STOP = Buffer.from('.')

function global(module: string, name: string): Buffer {
  return Buffer.from(`c${module}\n${name}\n`)
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  const head = Buffer.alloc(5, 'X')
  head.writeUInt32LE(bytes.byteLength, 1)
  return Buffer.concat([head, bytes])
}

function integer(value: number): Buffer {
  if (value <= 0x7fffffff) {
    const bytes = Buffer.alloc(5, 'J')
    bytes.writeInt32LE(value, 1)
    return bytes
  }
  const bytes = Buffer.from([0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 0])
  bytes.writeBigInt64LE(BigInt(value), 2)
  return bytes
}
