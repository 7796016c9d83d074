import { checkRange } from '../options.ts'
import type { PictureTransform } from './Transform.ts'

/** Mirrors left and right with probability `p` (default 0.5); torchvision's `RandomHorizontalFlip`, fastai's `flip_lr`. */
export function randomHorizontalFlip(p = 0.5): PictureTransform {
  checkRange('randomHorizontalFlip', 'p', p, 0, 1)
  return {
    kind: 'picture',
    name: 'randomHorizontalFlip',
    parameters: { p },
    apply: (picture, random) => {
      if (random.chance(p)) picture.flipHorizontal()
    },
  }
}

/** Mirrors top and bottom with probability `p` (default 0.5); torchvision's `RandomVerticalFlip`. */
export function randomVerticalFlip(p = 0.5): PictureTransform {
  checkRange('randomVerticalFlip', 'p', p, 0, 1)
  return {
    kind: 'picture',
    name: 'randomVerticalFlip',
    parameters: { p },
    apply: (picture, random) => {
      if (random.chance(p)) picture.flipVertical()
    },
  }
}

/**
 * One of the eight positions that a square can lie in, each equally likely; fastai's `dihedral`. A quarter turn exchanges
 * width and height.
 */
export function randomDihedral(): PictureTransform {
  return {
    kind: 'picture',
    name: 'randomDihedral',
    parameters: {},
    apply: (picture, random) => {
      const position = random.integer(8)
      if (position & 1) picture.flipVertical()
      if (position & 2) picture.flipHorizontal()
      if (position & 4) picture.transpose()
    },
  }
}
