/** Mean and standard deviation of each channel, of pictures from 0 to 1. */
export interface ImageStats {
  readonly mean: readonly number[]
  readonly std: readonly number[]
}

/** What models that were trained on ImageNet have seen. */
export const imagenetStats: ImageStats = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }

/** CIFAR-10's, fastai's `cifar_stats`. */
export const cifarStats: ImageStats = { mean: [0.491, 0.482, 0.447], std: [0.247, 0.243, 0.261] }

/** MNIST's, fastai's `mnist_stats`, for its pictures as three equal channels. */
export const mnistStats: ImageStats = { mean: [0.131, 0.131, 0.131], std: [0.308, 0.308, 0.308] }
