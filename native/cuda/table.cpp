// Which kernels there are: those of the table that some file of this folder defines, as functions of the same
// names and types as the processor's, in this namespace.
#include "core/device_runtime.h"
#include "core/kernels.h"

namespace anneal {

namespace cuda {

#define KERNEL(name) __attribute__((weak)) decltype(cpu::name) name;
#define DEVICE_KERNEL(name) __attribute__((weak)) decltype(accelerated::name) name;
#include "core/kernels.def"
#undef KERNEL
#undef DEVICE_KERNEL

}  // namespace cuda

const KernelTable& cudaKernels() {
    static const KernelTable table = {
#define KERNEL(name) {#name, &cuda::name},
#define DEVICE_KERNEL(name) {#name, &cuda::name},
#include "core/kernels.def"
#undef KERNEL
#undef DEVICE_KERNEL
    };
    return table;
}

}  // namespace anneal
