/** The library as one file, to be loaded more than once. */
export * from '../../src/index.ts'
