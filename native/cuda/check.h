#pragma once

#include <cuda_runtime.h>

namespace anneal::cuda {

// Throws what CUDA answered: `what` tells what could not be done.
void check(cudaError_t status, const char* what);

}  // namespace anneal::cuda
