#pragma once

#include <utility>

#include "core/error.h"
#include "cpu/kernels.h"
#include "cpu/optimizer.h"

// One function for each kernel and device: ops call `context.kernels().softmax(context, …)` and need not know
// where they run.
namespace anneal {

namespace accelerated {

// Elementwise functions, by the name of their op.
void unary(Context& context, const char* op, const View& out, const View& input);
// Both operands in `dtype`; a side that is a number (1: a, 2: b, 0: neither) has no view.
struct BinaryOperands {
    View out, a, b;
    double number;
    int numberSide;
    DType dtype;
};
void binary(Context& context, const char* op, const BinaryOperands& operands);
void leakyRelu(Context& context, const View& out, const View& input, double slope);
void leakyReluBackward(Context& context, const View& out, const View& gradient, const View& input,
                       double slope);

}  // namespace accelerated

[[noreturn]] void missingKernel(const Context& context, const char* kernel);

template <typename Signature>
struct Kernel;
template <typename... Args>
struct Kernel<void(Context&, Args...)> {
    using Function = void (*)(Context&, Args...);
    const char* name;
    Function function;

    void operator()(Context& context, Args... args) const {
        if (__builtin_expect(!function, 0)) missingKernel(context, name);
        function(context, std::forward<Args>(args)...);
    }
};

struct KernelTable {
#define KERNEL(name) Kernel<decltype(cpu::name)> name;
#define DEVICE_KERNEL(name) Kernel<decltype(accelerated::name)> name;
#include "core/kernels.def"
#undef KERNEL
#undef DEVICE_KERNEL
};

const KernelTable& cpuKernels();

}  // namespace anneal
