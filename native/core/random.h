#pragma once

#include <cstdint>

#include "core/generator.h"

namespace anneal {

// The fills below write `count` contiguous values in order. The numbers are those of PyTorch 1.13 and 2.x on
// the CPU, in a build without MKL (Debian's, and every ARM build). A build with MKL differs in bernoulli and
// dropout (since 1.0) and in exponential (since 2.0): it draws one 32-bit seed and leaves the rest to MKL's
// own MCG31 stream.

// Uniform in [from, to): 24 bits from one 32-bit draw for float, 53 bits from one 64-bit draw for double.
void fillUniform(Generator& generator, float* out, int64_t count, double from, double to);
void fillUniform(Generator& generator, double* out, int64_t count, double from, double to);

// Normal. Below 16 values each comes from Generator::normal(). From 16 on PyTorch fills with uniforms and
// turns blocks of 16 into normals, the first eight with the last eight; a tail that fills no block redraws
// the last 16 values.
void fillNormal(Generator& generator, float* out, int64_t count, double mean, double std);
void fillNormal(Generator& generator, double* out, int64_t count, double mean, double std);

// One Generator::normal() a value at any count: what PyTorch does for a tensor that is not contiguous.
void fillNormalOneByOne(Generator& generator, float* out, int64_t count, double mean, double std);
void fillNormalOneByOne(Generator& generator, double* out, int64_t count, double mean, double std);

// 1 with probability `p`, else 0, from a 53-bit uniform each: bernoulli_(p), and the mask of dropout (with p
// = the share kept). T: float, double, int64_t, int32_t, uint8_t.
template <typename T>
void fillBernoulli(Generator& generator, T* out, int64_t count, double p);

// As above with a probability for each value: float probabilities take a 24-bit uniform, double ones a 53-bit
// uniform.
template <typename T>
void fillBernoulli(Generator& generator, T* out, int64_t count, const float* p);
template <typename T>
void fillBernoulli(Generator& generator, T* out, int64_t count, const double* p);

// Integers in [low, low + range), range > 0, by remainder. A range of 2^32 or more takes a 64-bit draw for
// each value, except for int32_t and uint8_t. (PyTorch from about 2.6 takes 64 bits from a range of 2^28 on:
// between the two the streams of the versions part, and we keep to the older, which the fixtures check.) T:
// int64_t, int32_t, uint8_t, float, double.
template <typename T>
void fillRandint(Generator& generator, T* out, int64_t count, int64_t low, uint64_t range);

// int64 in [0, 2^63): torch's random_() without bounds, which seeds its samplers and data-loader workers.
void fillRandomInt64(Generator& generator, int64_t* out, int64_t count);

// A permutation of 0 ... count-1. From 2^32 / 20 values on, 64-bit draws (PyTorch 2.6 and newer).
void fillRandperm(Generator& generator, int64_t* out, int64_t count);

// Exponential with rate `lambda`, from a 53-bit uniform for both types.
void fillExponential(Generator& generator, float* out, int64_t count, double lambda);
void fillExponential(Generator& generator, double* out, int64_t count, double lambda);

}  // namespace anneal
