import { conv1d, conv2d, noGrad, randn, type Tensor, zeros } from '../../engine/index.ts'
import * as nn from '../../nn/index.ts'

/** Sizes of a convolution that keeps the size of its input, but for the stride. */
export interface NormedConvOptions {
  kernelSize?: number
  stride?: number
  bias?: boolean
}

/**
 * A convolution whose weight is `weight_g · weight_v / ‖weight_v‖`, with a length for each output channel: direction and length are
 * learnt apart (Salimans and Kingma 2016, https://arxiv.org/abs/1602.07868). Names are those of `torch.nn.utils.weight_norm`.
 */
export class WeightNormConv2d extends nn.Module {
  static override readonly stateNames = { weightG: 'weight_g', weightV: 'weight_v' }

  bias: nn.Parameter | null
  weightG: nn.Parameter
  weightV: nn.Parameter
  readonly #stride: number

  constructor(
    inChannels: number,
    outChannels: number,
    { kernelSize = 3, stride = 1, bias = true }: NormedConvOptions = {},
  ) {
    super()
    const plain = new nn.Conv2d(inChannels, outChannels, kernelSize, { bias })
    nn.init.kaimingNormal_(plain.weight)
    this.bias = plain.bias && new nn.Parameter(zeros([outChannels]))
    this.weightG = new nn.Parameter(zeros([outChannels, 1, 1, 1]))
    this.weightV = plain.weight
    this.setWeight(plain.weight)
    this.#stride = stride
  }

  /** The weight that convolves, `[outChannels, inChannels, kernel, kernel]`. */
  weight(): Tensor {
    return this.weightV.mul(this.weightG.div(lengths(this.weightV)))
  }

  /** Makes `weight` the weight that convolves. */
  setWeight(weight: Tensor): void {
    noGrad(() => {
      this.weightV.copy_(weight)
      this.weightG.copy_(lengths(weight))
    })
  }

  override forward(x: Tensor): Tensor {
    const padding = Math.floor((this.weightV.shape[3]! - 1) / 2)
    return conv2d(x, this.weight(), this.bias, { stride: this.#stride, padding })
  }

  override extraRepr(): string {
    const [outChannels, inChannels, kernel] = this.weightV.shape
    return `${inChannels}, ${outChannels}, kernel_size=(${kernel}, ${kernel}), stride=(${this.#stride}, ${this.#stride})`
  }
}

const lengths = (weight: Tensor) => weight.square().sum([1, 2, 3], { keepdim: true }).sqrt()

/**
 * A weight that is divided by its largest singular value, which bounds by how much the layer can stretch its input (Miyato et al.
 * 2018, https://arxiv.org/abs/1802.05957). The value is found by a step of power iteration at each training batch. Names are
 * those of `torch.nn.utils.spectral_norm`.
 */
abstract class SpectralNorm extends nn.Module {
  static override readonly stateNames = {
    weightOrig: 'weight_orig',
    weightU: 'weight_u',
    weightV: 'weight_v',
  }

  bias: nn.Parameter | null
  weightOrig: nn.Parameter
  declare weightU: Tensor
  declare weightV: Tensor

  constructor(weight: nn.Parameter, bias: nn.Parameter | null) {
    super()
    nn.init.kaimingNormal_(weight)
    this.bias = bias && new nn.Parameter(zeros(bias.shape))
    this.weightOrig = weight
    const rows = weight.shape[0]!
    const columns = weight.shape.slice(1).reduce((product, size) => product * size, 1)
    this.registerBuffer('weightU', unit(randn([rows])))
    this.registerBuffer('weightV', unit(randn([columns])))
  }

  /** The weight that convolves; in training takes a step of power iteration first. */
  weight(): Tensor {
    const matrix = this.weightOrig.flatten(1)
    if (this.training) {
      noGrad(() => {
        this.weightV.copy_(unit(matrix.t().mv(this.weightU)))
        this.weightU.copy_(unit(matrix.mv(this.weightV)))
      })
    }
    // Copies, since the buffers change in place at the next batch, and backward may come after that.
    const [u, v] = noGrad(() => [this.weightU.clone(), this.weightV.clone()])
    return this.weightOrig.div(matrix.mv(v).dot(u))
  }

  override extraRepr(): string {
    return `${this.weightOrig.shape[1]}, ${this.weightOrig.shape[0]}, kernel_size=${this.weightOrig.shape[2]}`
  }
}

const unit = (vector: Tensor) => vector.div(vector.norm().clamp(1e-12))

/** A convolution over pictures under spectral norm. */
export class SpectralNormConv2d extends SpectralNorm {
  readonly #stride: number

  constructor(
    inChannels: number,
    outChannels: number,
    { kernelSize = 3, stride = 1, bias = true }: NormedConvOptions = {},
  ) {
    const plain = new nn.Conv2d(inChannels, outChannels, kernelSize, { bias })
    super(plain.weight, plain.bias)
    this.#stride = stride
  }

  override forward(x: Tensor): Tensor {
    const padding = Math.floor((this.weightOrig.shape[3]! - 1) / 2)
    return conv2d(x, this.weight(), this.bias, { stride: this.#stride, padding })
  }
}

/** A linear map of each position of `[N, inChannels, L]` under spectral norm, without bias. */
class SpectralNormPointwise extends SpectralNorm {
  constructor(inChannels: number, outChannels: number) {
    super(new nn.Conv1d(inChannels, outChannels, 1, { bias: false }).weight, null)
  }

  override forward(x: Tensor): Tensor {
    return conv1d(x, this.weight(), null)
  }
}

/**
 * Lets every pixel look at all others (Zhang et al. 2018, https://arxiv.org/abs/1805.08318): `[N, C, H, W]` to the same. Starts as the
 * identity, since the learnt factor `gamma` starts at zero. Memory grows with (H · W)². Names are those of fastai's `SelfAttention`.
 */
export class SelfAttention extends nn.Module {
  query: nn.Module
  key: nn.Module
  value: nn.Module
  gamma: nn.Parameter

  constructor(channels: number) {
    super()
    const narrow = Math.max(1, Math.floor(channels / 8))
    this.query = new SpectralNormPointwise(channels, narrow)
    this.key = new SpectralNormPointwise(channels, narrow)
    this.value = new SpectralNormPointwise(channels, channels)
    this.gamma = new nn.Parameter(zeros([1]))
  }

  override forward(x: Tensor): Tensor {
    const pixels = x.flatten(2)
    const query = this.query.forward(pixels)
    const key = this.key.forward(pixels)
    const value = this.value.forward(pixels)
    const attention = query.transpose(1, 2).bmm(key).softmax(1)
    return value.bmm(attention).mul(this.gamma).add(pixels).reshape(x.shape)
  }
}
