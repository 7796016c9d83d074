import { ConfigError } from '../src/engine/errors.ts'
import { columnsOf, csvLine, formatDuration, formatValue } from '../src/learner/epochTable.ts'
import type { EpochEndContext } from '../src/learner/events.ts'
import { rejectUnknownOptions } from '../src/learner/options.ts'
import { FileLogger, type FileLoggerOptions } from './FileLogger.ts'

/** The extension is `.csv`. */
export interface CSVLoggerOptions extends FileLoggerOptions {}

/**
 * Writes a line for each epoch (epoch, trainLoss, validLoss, metrics, time) to a CSV file, and syncs it to the disk. A fit that resumes
 * goes on with the lines that were there at the checkpoint.
 */
export class CSVLogger extends FileLogger {
  constructor(options: CSVLoggerOptions = {}) {
    rejectUnknownOptions('CSVLogger', options, ['filename', 'append'])
    super(options, '.csv')
  }

  /** @throws ConfigError if the file that it goes on with has other columns */
  protected override async open(keep: boolean): Promise<void> {
    await super.open(keep)
    const header = csvLine(columnsOf(this.monitors))
    const found = await this.lines!.firstLine()
    if (found === undefined) return this.lines!.append(header)
    if (`${found}\n` === header) return
    await this.onTrainEnd()
    throw new ConfigError(
      `CSVLogger cannot go on with ${this.file}: its columns are ${found}, those of this fit ${header.trim()}. Choose another file`,
    )
  }

  override async onEpochEnd({ epoch, lastMetrics }: EpochEndContext): Promise<void> {
    const values = this.monitors.map((name) => formatValue(lastMetrics[name]))
    await this.lines!.append(csvLine([String(epoch), ...values, formatDuration(this.seconds)]))
  }
}
