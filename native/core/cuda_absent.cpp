// What the engine knows of CUDA where it is compiled without nvcc; elsewhere native/cuda takes this file's
// place.
#include "core/device_runtime.h"
#include "core/error.h"
#include "core/kernels.h"

namespace anneal {

namespace {

constexpr const char* kAbsent =
    "this build of anneal has no CUDA: nvcc was not found when it was compiled. Install the CUDA toolkit, "
    "put "
    "nvcc on the PATH and build again with --clean";

}  // namespace

bool cudaCompiled() { return false; }
bool cudaEmulated() { return false; }
int cudaDeviceCount() { return 0; }
std::string cudaProblem() { return kAbsent; }
void cudaAllowTf32(bool) {}
DeviceFacts cudaDeviceFacts(int) { return {}; }
std::vector<std::pair<std::string, std::string>> cudaLibraries() { return {}; }

std::unique_ptr<DeviceRuntime> openCudaDevice(Context&, int ordinal) {
    fail(ErrorKind::Device, Device::cuda(ordinal).name(), " is not available: ", kAbsent);
}

const KernelTable& cudaKernels() { return cpuKernels(); }

}  // namespace anneal
