import { listPictures } from '../data/image/listPictures.ts'
import { imageExtensions } from '../data/index.ts'

/** Paths of all pictures in a folder and those below it. */
export function picturesIn(folder: string): string[] {
  return listPictures(folder, new Set(imageExtensions)).files.map((path) => path.toString())
}
