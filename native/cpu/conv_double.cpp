#include <algorithm>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/parallel.h"

// Convolution in double precision on channels-last activations. The weight is put into the order in which a
// tap's products are a small matrix with contiguous rows; threads share out pixels (or taps of the weight),
// each of which is summed up by one thread in a fixed order.
namespace anneal::cpu {

namespace {

struct Shape {
    int64_t batch, inChannels, inHeight, inWidth, outChannels, outHeight, outWidth, kernelHeight, kernelWidth;
    int64_t groups, groupIn, groupOut, taps;

    Shape(const View& input, const View& weight, const View& out, const ConvGeometry& g)
        : batch(input.sizes[0]),
          inChannels(input.sizes[1]),
          inHeight(input.sizes[2]),
          inWidth(input.sizes[3]),
          outChannels(out.sizes[1]),
          outHeight(out.sizes[2]),
          outWidth(out.sizes[3]),
          kernelHeight(weight.sizes[2]),
          kernelWidth(weight.sizes[3]),
          groups(g.groups),
          groupIn(inChannels / groups),
          groupOut(outChannels / groups),
          taps(kernelHeight * kernelWidth) {}
};

// sums[0 .. columns) += vector[0 .. rows) times a matrix with `columns` contiguous values a row.
void addProduct(double* sums, const double* vector, const double* matrix, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; r++) {
        const double factor = vector[r];
        const double* const row = matrix + r * columns;
        for (int64_t c = 0; c < columns; c++) sums[c] += factor * row[c];
    }
}

// The input position that tap `t` of output `o` reads, or -1 for one in the padding.
int64_t sourceOf(int64_t o, int64_t t, int64_t size, const ConvGeometry& g, int i) {
    const int64_t position = o * g.stride[i] - g.padding[i] + t * g.dilation[i];
    return position >= 0 && position < size ? position : -1;
}

// The output whose tap `t` reads input position `position`, or -1.
int64_t targetOf(int64_t position, int64_t t, int64_t size, const ConvGeometry& g, int i) {
    const int64_t distance = position + g.padding[i] - t * g.dilation[i];
    if (distance < 0 || distance % g.stride[i] != 0) return -1;
    return distance / g.stride[i] < size ? distance / g.stride[i] : -1;
}

// The weight as [group][tap][in][out], or [group][tap][out][in].
std::vector<double> reordered(const double* weight, const Shape& s, bool inFirst) {
    std::vector<double> result(s.groups * s.taps * s.groupIn * s.groupOut);
    for (int64_t o = 0; o < s.outChannels; o++) {
        const int64_t group = o / s.groupOut, column = o % s.groupOut;
        for (int64_t c = 0; c < s.groupIn; c++) {
            for (int64_t t = 0; t < s.taps; t++) {
                const int64_t at = inFirst ? c * s.groupOut + column : column * s.groupIn + c;
                result[(group * s.taps + t) * s.groupIn * s.groupOut + at] =
                    weight[(o * s.groupIn + c) * s.taps + t];
            }
        }
    }
    return result;
}

int64_t pixelGrain(const Shape& s) {
    return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, s.taps * s.groupIn * s.outChannels));
}

void forward(double* out, const double* input, const double* weight, const double* bias, const Shape& s,
             const ConvGeometry& g) {
    const std::vector<double> taps = reordered(weight, s, true);
    parallelFor(s.batch * s.outHeight * s.outWidth, pixelGrain(s), [&](int64_t begin, int64_t end) {
        for (int64_t pixel = begin; pixel < end; pixel++) {
            const int64_t x = pixel % s.outWidth, y = pixel / s.outWidth % s.outHeight;
            const double* const picture =
                input + pixel / s.outWidth / s.outHeight * s.inHeight * s.inWidth * s.inChannels;
            double* const sums = out + pixel * s.outChannels;
            for (int64_t o = 0; o < s.outChannels; o++) sums[o] = bias ? bias[o] : 0;
            for (int64_t t = 0; t < s.taps; t++) {
                const int64_t row = sourceOf(y, t / s.kernelWidth, s.inHeight, g, 0);
                const int64_t column = sourceOf(x, t % s.kernelWidth, s.inWidth, g, 1);
                if (row < 0 || column < 0) continue;
                const double* const source = picture + (row * s.inWidth + column) * s.inChannels;
                for (int64_t group = 0; group < s.groups; group++) {
                    addProduct(sums + group * s.groupOut, source + group * s.groupIn,
                               taps.data() + (group * s.taps + t) * s.groupIn * s.groupOut, s.groupIn,
                               s.groupOut);
                }
            }
        }
    });
}

void backwardInput(double* gradInput, const double* gradOutput, const double* weight, const Shape& s,
                   const ConvGeometry& g) {
    const std::vector<double> taps = reordered(weight, s, false);
    parallelFor(s.batch * s.inHeight * s.inWidth, pixelGrain(s), [&](int64_t begin, int64_t end) {
        for (int64_t pixel = begin; pixel < end; pixel++) {
            const int64_t x = pixel % s.inWidth, y = pixel / s.inWidth % s.inHeight;
            const double* const picture =
                gradOutput + pixel / s.inWidth / s.inHeight * s.outHeight * s.outWidth * s.outChannels;
            double* const sums = gradInput + pixel * s.inChannels;
            std::fill_n(sums, s.inChannels, 0.0);
            for (int64_t t = 0; t < s.taps; t++) {
                const int64_t row = targetOf(y, t / s.kernelWidth, s.outHeight, g, 0);
                const int64_t column = targetOf(x, t % s.kernelWidth, s.outWidth, g, 1);
                if (row < 0 || column < 0) continue;
                const double* const source = picture + (row * s.outWidth + column) * s.outChannels;
                for (int64_t group = 0; group < s.groups; group++) {
                    addProduct(sums + group * s.groupIn, source + group * s.groupOut,
                               taps.data() + (group * s.taps + t) * s.groupIn * s.groupOut, s.groupOut,
                               s.groupIn);
                }
            }
        }
    });
}

void backwardWeight(double* gradWeight, double* gradBias, const double* gradOutput, const double* input,
                    const Shape& s, const ConvGeometry& g) {
    const int64_t pixels = s.outHeight * s.outWidth;
    parallelFor(s.groups * s.taps, 1, [&](int64_t begin, int64_t end) {
        std::vector<double> sums(s.groupIn * s.groupOut);  // [in][out]
        for (int64_t task = begin; task < end; task++) {
            const int64_t group = task / s.taps, t = task % s.taps;
            std::fill(sums.begin(), sums.end(), 0.0);
            for (int64_t pixel = 0; pixel < s.batch * pixels; pixel++) {
                const int64_t row =
                    sourceOf(pixel / s.outWidth % s.outHeight, t / s.kernelWidth, s.inHeight, g, 0);
                const int64_t column = sourceOf(pixel % s.outWidth, t % s.kernelWidth, s.inWidth, g, 1);
                if (row < 0 || column < 0) continue;
                const double* const source =
                    input + ((pixel / pixels * s.inHeight + row) * s.inWidth + column) * s.inChannels +
                    group * s.groupIn;
                const double* const gradient = gradOutput + pixel * s.outChannels + group * s.groupOut;
                for (int64_t c = 0; c < s.groupIn; c++) {
                    double* const line = sums.data() + c * s.groupOut;
                    for (int64_t o = 0; o < s.groupOut; o++) line[o] += source[c] * gradient[o];
                }
            }
            for (int64_t c = 0; c < s.groupIn; c++) {
                for (int64_t o = 0; o < s.groupOut; o++) {
                    gradWeight[((group * s.groupOut + o) * s.groupIn + c) * s.taps + t] =
                        sums[c * s.groupOut + o];
                }
            }
        }
    });
    if (!gradBias) return;
    std::fill_n(gradBias, s.outChannels, 0.0);
    for (int64_t pixel = 0; pixel < s.batch * pixels; pixel++) {
        for (int64_t o = 0; o < s.outChannels; o++) gradBias[o] += gradOutput[pixel * s.outChannels + o];
    }
}

}  // namespace

void convDouble(ConvDirection direction, const View& input, const View& weight, const View& out,
                const View* bias, const ConvGeometry& geometry) {
    const Shape shape(input, weight, out, geometry);
    double *const x = input.as<double>(), *const w = weight.as<double>(), *const y = out.as<double>();
    double* const b = bias ? bias->as<double>() : nullptr;
    switch (direction) {
        case ConvDirection::Forward:
            forward(y, x, w, b, shape, geometry);
            break;
        case ConvDirection::BackwardInput:
            backwardInput(x, y, w, shape, geometry);
            break;
        case ConvDirection::BackwardWeight:
            backwardWeight(w, b, y, x, shape, geometry);
            break;
    }
}

}  // namespace anneal::cpu
