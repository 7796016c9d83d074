#include "core/kernels.h"

namespace anneal {

const KernelTable& cpuKernels() {
    static const KernelTable table = {
#define KERNEL(name) {#name, &cpu::name},
#define DEVICE_KERNEL(name) {#name, nullptr},
#include "core/kernels.def"
#undef KERNEL
#undef DEVICE_KERNEL
    };
    return table;
}

void missingKernel(const Context& context, const char* kernel) {
    fail(ErrorKind::Device, "the kernel ", kernel, " does not exist for ", context.device().name(),
         " yet; move the operands with to('cpu')");
}

}  // namespace anneal
