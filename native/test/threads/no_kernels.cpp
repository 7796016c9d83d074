// In the place of the kernels, for a test of what is around them.
#include "core/kernels.h"

namespace anneal {

const KernelTable& cpuKernels() {
    static const KernelTable table{};
    return table;
}

}  // namespace anneal
