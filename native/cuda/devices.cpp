// Which CUDA devices there are, and what keeps them from being used.
#include <dlfcn.h>

#include "core/context.h"
#include "core/kernels.h"
#include "cuda/device.h"
#include "cuda/library.h"
#include "cuda/settings.h"

namespace anneal {

namespace {

constexpr int kLeastCapability = 8;  // Ampere: what the kernels are compiled for

struct Found {
    int count = 0;
    std::string problem;
};

std::string versionText(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

const Found& found() {
    static const Found result = [] {
        Found it;
        const cudaError_t status = cudaGetDeviceCount(&it.count);
        if (status == cudaSuccess && it.count > 0) return it;
        cudaGetLastError();
        it.count = 0;
        int driver = 0, runtime = 0;
        cudaDriverGetVersion(&driver);
        cudaRuntimeGetVersion(&runtime);
        if (driver > 0 && driver < runtime / 1000 * 1000) {
            it.problem = "the NVIDIA driver is too old: it brings CUDA " + versionText(driver) +
                         ", this build needs " + versionText(runtime / 1000 * 1000) +
                         " or newer. Upgrade the driver";
        } else if (driver == 0) {
            it.problem =
                "there is no NVIDIA driver: libcuda.so.1 was not found in the system's loader paths "
                "(LD_LIBRARY_PATH, /etc/ld.so.conf). Install NVIDIA's driver";
        } else if (status == cudaErrorNoDevice || status == cudaSuccess) {
            it.problem = "the NVIDIA driver sees no device (is CUDA_VISIBLE_DEVICES set?)";
        } else {
            it.problem = std::string("CUDA does not start: ") + cudaGetErrorString(status);
        }
        return it;
    }();
    return result;
}

}  // namespace

bool cudaCompiled() { return true; }

bool cudaEmulated() {
#ifdef ANNEAL_CUDA_EMULATED
    return true;
#else
    return false;
#endif
}

int cudaDeviceCount() { return found().count; }

std::string cudaProblem() { return found().problem; }

DeviceFacts cudaDeviceFacts(int ordinal) {
    cudaDeviceProp properties;
    cuda::check(cudaGetDeviceProperties(&properties, ordinal), "reading the device");
    DeviceFacts facts;
    facts.name = properties.name;
    facts.capability = std::to_string(properties.major) + "." + std::to_string(properties.minor);
    cuda::check(cuda::selectDevice(ordinal), "choosing the device");
    cuda::check(cudaMemGetInfo(&facts.freeBytes, &facts.totalBytes), "reading the device's memory");
    return facts;
}

void cudaAllowTf32(bool allowed) { cuda::tf32Setting() = allowed; }

std::vector<std::pair<std::string, std::string>> cudaLibraries() {
    return {{"cuBLASLt", cuda::cublasLtLibrary().state()}, {"cuDNN", cuda::cudnnLibrary().state()}};
}

std::unique_ptr<DeviceRuntime> openCudaDevice(Context& context, int ordinal) {
    const std::string name = Device::cuda(ordinal).name();
    CHECK_DEVICE(found().count > 0, name, " is not available: ", found().problem);
    CHECK_DEVICE(ordinal < found().count, name, " is not available: this machine has ", found().count,
                 " CUDA device(s), cuda:0 to cuda:", found().count - 1);
    int major = 0;
    cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal),
                "reading the device");
    CHECK_DEVICE(major >= kLeastCapability, name, " is too old: its compute capability is ", major,
                 ", anneal needs 8.0 (Ampere) or newer");
    cuda::cublasLtLibrary().require();
    cuda::cudnnLibrary().require();
    return std::make_unique<cuda::CudaDevice>(context, ordinal);
}

}  // namespace anneal
