import { imagenetStats } from '../../src/data/index.ts'
import { createBody, interpolate, loadWeights, models, type Tensor, tensor } from '../../src/index.ts'

/**
 * Features [N, 512] of pictures in [-1, 1], by a ResNet18 that learned from pictures with ImageNet's normalisation: what GANMeasure
 * compares by. `size` is the side that the network is used to, in pixels.
 */
export async function pictureFeatures(weights: string, size = 64): Promise<(pictures: Tensor) => Tensor> {
  const model = models.resnet18()
  await loadWeights(model, weights, { skip: (name) => name.startsWith('fc.') })
  const body = createBody(model, models.resnet18.cut(model)).eval()
  const channel = (values: readonly number[]) => tensor([...values]).reshape([1, 3, 1, 1])
  const [mean, std] = [channel(imagenetStats.mean), channel(imagenetStats.std)]
  return (pictures) => {
    const sized =
      pictures.size(2) === size ? pictures : interpolate(pictures, { size: [size, size], mode: 'bilinear' })
    return body.forward(sized.add(1).div(2).sub(mean).div(std)).mean([2, 3])
  }
}
