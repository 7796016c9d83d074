#pragma once

#include <initializer_list>
#include <utility>

#include "cuda_runtime.h"

namespace anneal::emulation {

// Functions that stand in for a library's, by the names they would be looked up by.
struct Symbols {
    Symbols(std::initializer_list<std::pair<const char*, void*>> list);
};

void* librarySymbol(const char* name);

}  // namespace anneal::emulation
