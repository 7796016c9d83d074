/**
 * Loads the library several times in one process: `copiesProcess.ts FILE OTHER_FILE`, the second a copy of the package at another
 * path. Writes as JSON what each copy comes to, and what became of handing tensors of one to another.
 */
import { writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { createContext, runInContext } from 'node:vm'

type Library = typeof import('./library.ts')
type Tensor = InstanceType<Library['Tensor']>

const [file = '', otherFile = ''] = process.argv.slice(2)
const load = (path: string, query = ''): Promise<Library> => import(pathToFileURL(path).href + query)

const copies: Record<string, Library> = {
  first: await load(file),
  query: await load(file, '?again'),
  otherPath: await load(otherFile),
}
// What Node remembers of add-ons, as a test runner would forget it between files.
const { cache } = createRequire(import.meta.url)
const forgotten = Object.keys(cache).filter((name) => name.endsWith('.node'))
for (const name of forgotten) delete cache[name]
copies.forgotten = await load(file, '?forgotten')

async function train({ F, manualSeed, nn, optim, randn }: Library): Promise<string> {
  manualSeed(3)
  const net = new nn.Sequential(
    new nn.Conv2d(3, 8, 3),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Linear(8 * 36, 4),
  )
  const optimizer = new optim.Adam(net.parameters(), { lr: 0.01 })
  const x = randn([16, 3, 8, 8])
  const y = randn([16, 4])
  for (let i = 0; i < 10; i++) {
    optimizer.zeroGrad()
    F.mseLoss(net.forward(x), y).backward()
    optimizer.step()
  }
  return String(await net.parameters()[0]!.data())
}

/** `theirs` comes from another copy than `own` and `library`. */
const mixtures: Record<string, (own: Tensor, theirs: Tensor, library: Library, other: Library) => unknown> = {
  add: (own, theirs) => own.add(theirs),
  addTo: (own, theirs) => theirs.add(own),
  matmul: (own, theirs) => own.matmul(theirs),
  copy: (own, theirs) => own.copy_(theirs),
  index: (own, theirs) => own.index(theirs),
  cat: (own, theirs, { cat }) => cat([own, theirs]),
  catTheirs: (_, theirs, { cat }) => cat([theirs, theirs]),
  where: (own, theirs, { where }) => where(own.gt(0), theirs, own),
  tensor: (_, theirs, { tensor }) => tensor(theirs as unknown as number[]),
  forward: (_, theirs, { nn }) => new nn.Linear(3, 2).forward(theirs),
  sequential: (own, _, { nn }, other) =>
    new nn.Sequential(new other.nn.Linear(3, 3) as never, new nn.Linear(3, 3)).forward(own),
  optimizer: (_, theirs, { optim }) => new optim.SGD([theirs as never], { lr: 1 }),
  stateDict: (_, theirs, { nn }) => new nn.Linear(3, 3, { bias: false }).loadStateDict({ weight: theirs }),
  gradient: (own, theirs) => {
    own.grad = theirs
  },
  backward: (own, theirs) => own.requiresGrad_().mul(2).backward(theirs),
  loss: (own, theirs, { F }) => F.mseLoss(own, theirs),
  dataset: (own, theirs, { TensorDataset }) => new TensorDataset(own, theirs),
  scope: (_, theirs, { scope }) => scope(() => theirs.mul(2)).toArray(),
  scopes: (own, theirs, library, other) =>
    library.scope(() => other.scope(() => [own.add(1), theirs.add(1)])).map((tensor) => tensor.toArray()),
  freed: (own, theirs) => {
    theirs.dispose()
    return own.add(theirs)
  },
}

const wrong: string[] = []
for (const [name, library] of Object.entries(copies)) {
  for (const [otherName, other] of Object.entries(copies)) {
    if (other === library) continue
    for (const [what, mix] of Object.entries(mixtures)) {
      const own = library.randn([3, 3])
      const theirs = other.randn([3, 3])
      try {
        await mix(own, theirs, library, other)
      } catch (error) {
        if (!(error instanceof library.AnnealError || error instanceof other.AnnealError))
          wrong.push(`${what} of ${otherName} in ${name}: ${error}`)
      }
      if (String(library.tensor([1, 2]).add(1).toArray()) !== '2,3') wrong.push(`${name} after ${what}`)
    }
  }
}

// Values of another realm: its arrays and classes are not ours.
const context = createContext({ library: copies.first })
const foreign: string = runInContext(
  `const { cat, nn, ones, scope, tensor } = library
  class Twice extends nn.Module {
    inner = new nn.Linear(2, 2)
    forward(x) { return this.inner.forward(x).mul(2) }
  }
  String([
    tensor([[1, 2], [3, 4]]).add(1).sum().item(),
    tensor(new Float32Array([1, 2, 3, 4]), { shape: [2, 2] }).sum(1).toArray(),
    tensor(new Uint8Array([1, 2])).dtype,
    cat([ones([1]), ones([2])]).shape,
    new Twice().forward(ones([1, 2])).shape,
    new Twice().parameters().length,
    scope(() => new Map([['a', [ones([2])]]])).get('a')[0].toArray(),
    tensor(new Float32Array(new SharedArrayBuffer(8))).toArray(),
  ])`,
  context,
)

writeSync(
  1,
  JSON.stringify({
    forgotten: forgotten.length,
    trained: Object.fromEntries(
      await Promise.all(
        Object.entries(copies).map(async ([name, library]) => [name, await train(library)] as const),
      ),
    ),
    wrong,
    foreign,
  }),
)
