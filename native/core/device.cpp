#include "core/device.h"

namespace anneal {

std::string Device::name() const {
    return isCpu() ? std::string("cpu") : "cuda:" + std::to_string(ordinal());
}

}  // namespace anneal
