import { type Command, Option } from 'commander'
import { cacheFolder } from '../io/cacheFolder.ts'
import { fetchWeights } from '../vision/pretrained/fetchWeights.ts'
import { listPretrained } from '../vision/pretrained/registry.ts'
import { Terminal } from './Terminal.ts'

/** `anneal download`: published weights, ahead of time. */
export function addDownload(program: Command): void {
  program
    .command('download')
    .summary('fetch published weights ahead of time')
    .description(
      'Fetches the published weights of networks into the cache, where they are found from then on. Without names, lists them.',
    )
    .argument('[networks...]', 'names of networks, such as resnet18')
    .option('--json', 'one JSON object on stdout')
    // For the library itself, which throws what went wrong where it was called.
    .addOption(new Option('--quiet').hideHelp())
    .addHelpText(
      'after',
      `
Examples:
  anneal download                       what there is
  anneal download resnet18 resnet50
  ANNEAL_HUB=https://mirror.example/models anneal download resnet18

ANNEAL_CACHE names the folder of the cache, ANNEAL_OFFLINE=1 forbids the network, ANNEAL_HUB names a mirror that holds the
files under their names; HTTPS_PROXY and NO_PROXY are followed. Whoever uses the weights is bound by their licence.`,
    )
    .action(async (names: string[], options: { json: boolean }) => {
      const terminal = new Terminal(options)
      if (names.length === 0) {
        const all = listPretrained().map(({ classes, ...rest }) => rest)
        for (const { architecture, bytes, license, accuracy, file } of all) {
          const size = `${(bytes / 1e6).toFixed(0)} MB`.padStart(7)
          terminal.say(
            `  ${architecture.padEnd(18)}${size}  ${(100 * accuracy.top1).toFixed(1)} %  ${license}  ${file}`,
          )
        }
        terminal.say(`\nKept in ${cacheFolder()}`)
        return terminal.result(all)
      }
      const files: Record<string, string> = {}
      for (const name of names) {
        files[name] = await fetchWeights(name)
        terminal.say(`${name}: ${files[name]}`)
      }
      terminal.result({ files })
    })
}
