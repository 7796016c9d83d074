#include "libraries.h"

#include <map>
#include <string>

namespace anneal::emulation {

namespace {

std::map<std::string, void*>& table() {
    static std::map<std::string, void*> it;
    return it;
}

}  // namespace

Symbols::Symbols(std::initializer_list<std::pair<const char*, void*>> list) {
    for (const auto& [name, function] : list) table()[name] = function;
}

void* librarySymbol(const char* name) {
    const auto found = table().find(name);
    return found == table().end() ? nullptr : found->second;
}

}  // namespace anneal::emulation
