#include "cpu/winograd.h"

#include <type_traits>

#include "cpu/onednn.h"
#include "cpu/winograd_accumulate.h"
#include "cpu/winograd_convolve.h"

namespace anneal::cpu::winograd {

namespace {

template <int M, typename T>
void convolve(const View& outView, const View& inView, const Taps& taps, const Finish<T>& finish,
              const int64_t (&padding)[2]) {
    const Pictures<T> out(outView), in(inView);
    const int64_t filters = filterBytes<M>(in.channels, out.channels),
                  patches = kPlanes<M> * Tiles<M>(out.count, out.height, out.width).count * in.channels *
                            static_cast<int64_t>(sizeof(float));
    if (filters > kManyFilterBytes || 2 * filters > 3 * patches) {
        convolveByFilters<M>(out, in, taps, finish, padding);
    } else {
        convolveByTiles<M>(out, in, taps, finish, padding);
    }
}

// Of a whole convolution: products of the transformed patches and filters, and all transforms.
template <int M>
int64_t costOf(const View& out, int64_t inputs, int64_t outputs) {
    const int64_t tiles = Tiles<M>(out.sizes[0], out.sizes[2], out.sizes[3]).count;
    return productCost<M>(tiles, inputs, outputs) +
           (kCost<M>.patch * tiles * (inputs + outputs) + kCost<M>.filter * inputs * outputs) / kWidth;
}

// The best tile for a convolution. Larger ones take fewer multiplications, but more where they hang over the
// edges of small pictures, and larger filters.
struct Choice {
    int tile = 2;
    int64_t cost;
    Choice(const View& weight, const View& out) {
        const int64_t inputs = weight.sizes[1], outputs = weight.sizes[0];
        cost = costOf<2>(out, inputs, outputs);
#if !defined(__x86_64__) || defined(__FMA__)  // else every product would round on its own, which they magnify
        consider(4, costOf<4>(out, inputs, outputs));
        if (out.dtype != DType::BFloat16) return;  // the larger tiles are not exact to float32
        consider(7, costOf<7>(out, inputs, outputs));
        consider(8, costOf<8>(out, inputs, outputs));
#endif
    }

  private:
    void consider(int other, int64_t otherCost) {
        if (otherCost < cost) tile = other, cost = otherCost;
    }
};

// Calls body with the tile's size and the storage type as template arguments.
template <typename Body>
void dispatch(const View& weight, const View& out, const Body& body) {
    const int tile = Choice(weight, out).tile;
    if (out.dtype == DType::BFloat16) {
        switch (tile) {
            case 2:
                return body(std::integral_constant<int, 2>{}, BFloat16{});
            case 4:
                return body(std::integral_constant<int, 4>{}, BFloat16{});
            case 7:
                return body(std::integral_constant<int, 7>{}, BFloat16{});
            default:
                return body(std::integral_constant<int, 8>{}, BFloat16{});
        }
    }
    if (tile == 2) {
        body(std::integral_constant<int, 2>{}, float{});
    } else {
        body(std::integral_constant<int, 4>{}, float{});
    }
}

// In bfloat16 the direct method multiplies twice as fast as this one in float32, or many times with matrix
// units, but has weights or their gradients to bring into another order. Measured on Zen 4, in costOf's
// units: nine products a pixel, two at a time and at nine tenths of the rate, and 100 for each vector of
// filters. This method takes 1.3 times what costOf counts.
bool outrunsHalf(const View& weight, const View& out) {
    if (onednn::hasMatrixUnits()) return false;
    const int64_t pixels = out.sizes[0] * out.sizes[2] * out.sizes[3];
    const int64_t direct = (5 * pixels + 100) * weight.sizes[0] * weight.sizes[1] / kWidth;
    return 1.3 * Choice(weight, out).cost < direct;
}

}  // namespace

bool suits(const View& input, const View& weight, const View& out, const ConvGeometry& g) {
    const bool half = input.dtype == DType::BFloat16;
    if ((input.dtype != DType::Float32 && !half) || g.groups != 1) return false;
    if (half && !outrunsHalf(weight, out)) return false;
    if (weight.sizes[2] != 3 || weight.sizes[3] != 3) return false;
    for (int i = 0; i < 2; i++) {
        if (g.stride[i] != 1 || g.dilation[i] != 1 || g.padding[i] > 2) return false;
    }
    if (weight.sizes[0] % kWidth != 0 || weight.sizes[1] % kWidth != 0) return false;
    // Fewer multiplications than the direct method's, the filters' transforms included.
    const int64_t tiles = Tiles<2>(out.sizes[0], out.sizes[2], out.sizes[3]).count;
    const int64_t outputs = out.sizes[0] * out.sizes[2] * out.sizes[3];
    return tiles >= 4 && kPlanes<2> * tiles < 8 * outputs;
}

void forward(const View& out, const View& input, const View& weight, const View* bias,
             const ConvGeometry& g) {
    dispatch(weight, out, [&](auto size, auto tag) {
        using T = decltype(tag);
        const Finish<T> finish{bias ? bias->as<const float>() : nullptr, nullptr, false};
        convolve<decltype(size)::value, T>(out, input, Taps(weight, false), finish, g.padding);
    });
}

void forward(const View& out, const View& input, const View& weight, const ConvEpilogue& epilogue,
             const ConvGeometry& g) {
    dispatch(weight, out, [&](auto size, auto tag) {
        using T = decltype(tag);
        const Finish<T> finish{epilogue.shift, static_cast<const T*>(epilogue.residual), epilogue.relu};
        convolve<decltype(size)::value, T>(out, input, Taps(weight, false, epilogue.scale), finish,
                                           g.padding);
    });
}

void backwardInput(const View& gradInput, const View& gradOutput, const View& weight, const ConvGeometry& g) {
    const int64_t padding[2] = {2 - g.padding[0], 2 - g.padding[1]};
    dispatch(weight, gradInput, [&](auto size, auto tag) {
        using T = decltype(tag);
        convolve<decltype(size)::value, T>(gradInput, gradOutput, Taps(weight, true), Finish<T>{}, padding);
    });
}

void backwardWeight(const View& gradWeight, const View& gradOutput, const View& input,
                    const ConvGeometry& g) {
    dispatch(gradWeight, gradOutput, [&](auto size, auto tag) {
        constexpr int M = decltype(size)::value;
        using T = decltype(tag);
        const Pictures<T> gradient(gradOutput), in(input);
        const int64_t tiles = Tiles<M>(gradient.count, gradient.height, gradient.width).count;
        const int64_t patchFloats = floatsFor<M>(tiles, in.channels, gradient.channels);
        const bool many = filterBytes<M>(in.channels, gradient.channels) > kManySumBytes ||
                          patchFloats * static_cast<int64_t>(sizeof(float)) < kFewPatchBytes;
        const auto run = many ? accumulateByFilters<M, T> : accumulateByTiles<M, T>;
        run(gradWeight, gradient, in, g.padding);
    });
}

}  // namespace anneal::cpu::winograd
