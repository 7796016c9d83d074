import { describe, expect, it } from 'vitest'
import { ConfigError, ShapeError } from '../../src/engine/errors.ts'
import { arange, manualSeed, ones, randn, type Tensor } from '../../src/engine/index.ts'
import * as F from '../../src/nn/functional.ts'
import * as nn from '../../src/nn/index.ts'

const picture = (height: number, width: number) =>
  arange(height * width)
    .to('float32')
    .view(1, 1, height, width)

describe('convolutions', () => {
  it('compute what their functions do', () => {
    manualSeed(1)
    const x = randn([2, 4, 6, 5])
    const conv = new nn.Conv2d(4, 6, [3, 2], { padding: 'same', groups: 2 })
    expect(conv.forward(x).toArray()).toEqual(
      F.conv2d(x, conv.weight, conv.bias, { padding: 'same', groups: 2 }).toArray(),
    )
    expect(conv.forward(x).shape).toEqual([2, 6, 6, 5])
    const line = new nn.Conv1d(4, 2, { kernelSize: 3, stride: 2, bias: false })
    expect(line.forward(randn([2, 4, 9])).shape).toEqual([2, 2, 4])
    expect(line.weight.shape).toEqual([2, 4, 3])
    const up = new nn.ConvTranspose2d(4, 3, { kernelSize: 4, stride: 2, padding: 1, bias: false })
    expect(up.forward(x).toArray()).toEqual(
      F.convTranspose2d(x, up.weight, null, { stride: 2, padding: 1 }).toArray(),
    )
    expect(up.weight.shape).toEqual([4, 3, 4, 4])
    expect(new nn.ConvTranspose1d(4, 6, 3, { stride: 2, groups: 2 }).forward(randn([4, 5])).shape).toEqual([
      6, 11,
    ])
  })

  it('choose among the sizes that fit the stride', () => {
    const up = new nn.ConvTranspose2d(2, 3, 3, { stride: [2, 3], padding: 1 })
    const x = ones([1, 2, 4, 4])
    expect(up.forward(x).shape).toEqual([1, 3, 7, 10])
    expect(up.forward(x, [8, 12]).shape).toEqual([1, 3, 8, 12])
    expect(up.forward(x, [1, 3, 7, 11]).shape).toEqual([1, 3, 7, 11])
    expect(() => up.forward(x, [9, 10])).toThrow(/from \[7, 10\] to \[8, 12\], not \[9, 10\]/)
    expect(() => up.forward(x, [8])).toThrow(ShapeError)
    expect(() => up.forward(x, 8 as unknown as number[])).toThrow(ShapeError)
    expect(new nn.ConvTranspose1d(2, 1, 2, { stride: 2 }).forward(ones([1, 2, 3]), [7]).shape).toEqual([
      1, 1, 7,
    ])
  })

  it('fit into Sequential, and learn', () => {
    manualSeed(2)
    const model = new nn.Sequential(
      new nn.ConvTranspose2d(3, 4, 2, { stride: 2 }),
      new nn.Upsample({ scaleFactor: 2, mode: 'bilinear' }),
      new nn.Conv2d(4, 4, 3, { padding: 'same' }),
      new nn.PixelShuffle(2),
    )
    const out = model.forward(randn([2, 3, 2, 2]))
    expect(out.shape).toEqual([2, 1, 16, 16])
    out.square().sum().backward()
    for (const parameter of model.parameters()) expect(parameter.grad?.abs().sum().item()).toBeGreaterThan(0)
  })

  it('present themselves as PyTorch’s do', () => {
    const texts: [nn.Module, string][] = [
      [
        new nn.Conv2d(3, 6, 5, { padding: 'same', bias: false }),
        'Conv2d(3, 6, kernel_size=(5, 5), stride=(1, 1), padding=same, bias=False)',
      ],
      [
        new nn.Conv1d(4, 8, 3, { padding: 1, dilation: 2, groups: 2 }),
        'Conv1d(4, 8, kernel_size=(3,), stride=(1,), padding=(1,), dilation=(2,), groups=2)',
      ],
      [
        new nn.ConvTranspose2d(4, 8, 3, { stride: 2, padding: 1, outputPadding: 1, groups: 2 }),
        'ConvTranspose2d(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1), groups=2)',
      ],
      [new nn.Upsample({ scaleFactor: 2 }), 'Upsample(scale_factor=2.0, mode=nearest)'],
      [new nn.Upsample({ size: [3, 4], mode: 'bilinear' }), 'Upsample(size=(3, 4), mode=bilinear)'],
      [new nn.PixelShuffle(2), 'PixelShuffle(upscale_factor=2)'],
      [new nn.PixelUnshuffle(2), 'PixelUnshuffle(downscale_factor=2)'],
      [new nn.ReflectionPad2d([1, 2, 0, 1]), 'ReflectionPad2d((1, 2, 0, 1))'],
    ]
    for (const [layer, text] of texts) expect(String(layer)).toBe(text)
  })

  it('refuse what makes no sense', () => {
    expect(() => new nn.Conv2d(3, 6, 3, { padding: 'same', stride: 2 })).toThrow(/'same' needs a stride of 1/)
    expect(() => new nn.Conv2d(3, 6, 3, { padding: 'full' as 'same' })).toThrow(ConfigError)
    expect(() => new nn.Conv2d(3, 6, 3, { dilatation: 2 } as nn.ConvOptions)).toThrow(/dilatation/)
    expect(() => new nn.Conv2d(3, 6, [3, 3, 3] as unknown as nn.Pair)).toThrow(/a list of 2/)
    expect(() => new nn.Conv1d(3, 6, [3, 3] as unknown as nn.Single)).toThrow(ConfigError)
    expect(() => new nn.ConvTranspose2d(3, 6, 3, { groups: 2 })).toThrow(/multiples of groups \(2\)/)
    expect(() => new nn.ConvTranspose2d(3, 6, undefined as unknown as number)).toThrow(/kernel size/)
    expect(() => new nn.ConvTranspose2d(3, 6, 3, { stride: 0 })).toThrow(ConfigError)
    expect(() => new nn.PixelShuffle(0)).toThrow(ConfigError)
    expect(() => new nn.Upsample({ scale: 2 } as nn.UpsampleOptions)).toThrow(/unknown option scale/)
    expect(() => new nn.ReflectionPad2d([1, 2] as unknown as nn.Sides)).toThrow(
      /\[left, right, top, bottom\]/,
    )
    expect(() => new nn.ReflectionPad2d(3).forward(picture(3, 3))).toThrow(ShapeError)
  })
})

describe('borders', () => {
  const rows = (x: Tensor) => (x.toArray() as number[][][][])[0]![0]

  it('mirror, repeat, or are zero', () => {
    const x = picture(2, 3)
    expect(rows(new nn.ReflectionPad2d([2, 1, 1, 0]).forward(x))).toEqual([
      [5, 4, 3, 4, 5, 4],
      [2, 1, 0, 1, 2, 1],
      [5, 4, 3, 4, 5, 4],
    ])
    expect(rows(new nn.ReplicationPad2d([1, 0, 0, 1]).forward(x))).toEqual([
      [0, 0, 1, 2],
      [3, 3, 4, 5],
      [3, 3, 4, 5],
    ])
    expect(rows(new nn.ZeroPad2d(1).forward(picture(1, 1).add(1)))).toEqual([
      [0, 0, 0],
      [0, 1, 0],
      [0, 0, 0],
    ])
  })
})
