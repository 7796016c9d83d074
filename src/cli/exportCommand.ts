import { extname } from 'node:path'
import type { Command } from 'commander'
import { library } from './pictures.ts'
import { Terminal } from './Terminal.ts'

interface ExportOptions {
  logits: boolean
  json: boolean
}

/** `anneal export`: a trained model in a format for other programs. */
export function addExport(program: Command): void {
  program
    .command('export')
    .summary('write a trained model as ONNX, or its weights for PyTorch')
    .description(
      'Writes a trained model in a format for other programs. The ending of the file decides which.',
    )
    .argument('<model>', 'model.safetensors of anneal train, or of learner.export')
    .argument(
      '<file>',
      '.onnx: the model, for onnxruntime and browsers; .pth or .safetensors: its weights, for PyTorch',
    )
    .option('--logits', 'ONNX: the raw outputs of the network instead of probabilities')
    .option('--json', 'one JSON object on stdout')
    .addHelpText(
      'after',
      `
Examples:
  anneal export out/model.safetensors model.onnx
  anneal export out/model.safetensors weights.pth    torch.load('weights.pth', weights_only=True)`,
    )
    .action(async (model: string, file: string, options: ExportOptions) => {
      const terminal = new Terminal(options)
      const { ConfigError, loadLearner, saveWeights } = await library()
      const ending = extname(file).toLowerCase()
      if (!['.onnx', '.pth', '.pt', '.safetensors'].includes(ending)) {
        throw new ConfigError(`${file}: the ending must be .onnx, .pth, .pt or .safetensors`)
      }
      const learner = await loadLearner(model)
      if (ending === '.onnx') await learner.exportOnnx(file, { activate: !options.logits })
      else await saveWeights(learner.model, file)
      const { classes } = learner.data
      terminal.say(
        `Wrote ${file}${ending === '.onnx' && classes ? `; its outputs are ${classes.join(', ')}` : ''}`,
      )
      terminal.result({ file, ...(classes && { classes }) })
    })
}
