import { conv2d, noGrad, randn, type Tensor } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'

const eps = 1e-12

function unit(x: Tensor): Tensor {
  return x.div(x.norm().clamp(eps))
}

/**
 * A convolution whose weight, as a matrix `[outChannels, the rest]`, is divided by its largest singular value (Miyato et al. 2018),
 * estimated by one power iteration in each training pass. Names in the state dict are those of PyTorch's `spectral_norm`.
 */
export class SpectralConv2d extends nn.Conv2d {
  static override readonly stateNames = {
    weight: 'weight_orig',
    leftVector: 'weight_u',
    rightVector: 'weight_v',
  }

  /** Estimates of the singular vectors. */
  declare leftVector: Tensor
  declare rightVector: Tensor

  constructor(inChannels: number, outChannels: number, options: nn.Conv2dOptions) {
    super(inChannels, outChannels, options)
    const columns = this.weight.numel / outChannels
    const drawn = (size: number) => noGrad(() => unit(randn([size])))
    this.registerBuffer('leftVector', drawn(outChannels))
    this.registerBuffer('rightVector', drawn(columns))
  }

  override forward(x: Tensor): Tensor {
    const { stride, padding, dilation, groups } = this
    return conv2d(x, this.normalisedWeight(), this.bias, { stride, padding, dilation, groups })
  }

  /** The weight that the pictures meet: the gradient passes through the singular value, not through its vectors. */
  normalisedWeight(): Tensor {
    const matrix = this.weight.reshape([this.outChannels, -1])
    if (this.training) {
      noGrad(() => {
        const values = matrix.detach()
        this.rightVector.copy_(unit(values.t().matmul(this.leftVector)))
        this.leftVector.copy_(unit(values.matmul(this.rightVector)))
      })
    }
    // The buffers change again before the gradient of this pass is taken.
    const [left, right] = [this.leftVector.clone(), this.rightVector.clone()]
    return this.weight.div(left.dot(matrix.matmul(right)))
  }
}
