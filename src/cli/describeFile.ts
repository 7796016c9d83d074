import { openWeightsFile } from '../io/openWeightsFile.ts'
import { STORED_ITEM_SIZE } from '../io/rawTensor.ts'
import { formatBytes } from '../io/transferProgress.ts'
import { Terminal } from './Terminal.ts'

/** What is in a file of weights. */
export async function describeFile(file: string, options: { json: boolean }): Promise<void> {
  const terminal = new Terminal(options)
  const opened = await openWeightsFile(file)
  try {
    const { format, tensors, metadata, others } = opened
    const sizes = [...tensors.values()].map(({ dtype, shape }) => {
      const elements = shape.reduce((product, size) => product * size, 1)
      return { elements, bytes: elements * STORED_ITEM_SIZE[dtype] }
    })
    const total = (key: 'elements' | 'bytes') => sizes.reduce((sum, size) => sum + size[key], 0)
    const model = exportedModel(metadata)
    const kinds = {
      safetensors: 'safetensors',
      pth: 'torch.save (zip)',
      'pth-legacy': 'torch.save (before 1.6)',
    }
    terminal.title(
      `${file}: ${kinds[format]}, ${tensors.size} tensors, ${total('elements')} numbers, ${formatBytes(total('bytes'))}`,
    )
    if (model?.modelClass) terminal.say(`model     ${model.modelClass}`)
    if (model?.classes) terminal.say(`classes   ${model.classes.join(', ')}`)
    for (const [name, { dtype, shape }] of tensors) terminal.say(`  ${name}  ${dtype} [${shape.join(', ')}]`)
    if (others.length > 0)
      terminal.say(`and ${others.length} things that are no tensors: ${others.join(', ')}`)
    terminal.result({
      file,
      format,
      numbers: total('elements'),
      bytes: total('bytes'),
      ...(model && { model }),
      tensors: Object.fromEntries([...tensors].map(([name, { dtype, shape }]) => [name, { dtype, shape }])),
    })
  } finally {
    await opened.close()
  }
}

/** What a Learner's file says of its model, if it is one. */
function exportedModel(
  metadata: Readonly<Record<string, string>>,
): { modelClass?: string; classes?: string[] } | undefined {
  try {
    const { learner } = JSON.parse(metadata['anneal.learner'] ?? '{}') as {
      learner?: { modelClass?: string; classes?: string[] | null }
    }
    if (!learner) return undefined
    const { modelClass, classes } = learner
    return { ...(modelClass && { modelClass }), ...(Array.isArray(classes) && { classes }) }
  } catch {
    return undefined
  }
}
