#pragma once

#include <cstring>
#include <type_traits>

#include "core/words.h"
#include "cuda/submit.h"

// What index.cu and index_list.cu share. Indices are checked where they are used; one out of range is noted,
// and nothing is read or written for it.
namespace anneal::cuda {

// What an index tensor holds at an offset.
__device__ inline int64_t indexAt(DType dtype, const void* data, int64_t offset) {
    switch (dtype) {
        case DType::Int64:
            return static_cast<const int64_t*>(data)[offset];
        case DType::Int32:
            return static_cast<const int32_t*>(data)[offset];
        default:
            return static_cast<const uint8_t*>(data)[offset];
    }
}

struct Indices {
    DType dtype;
    const void* data;
    explicit Indices(const View& view) : dtype(view.dtype), data(view.data) {}
    Indices() : dtype(DType::Int64), data(nullptr) {}
};

// False for an index out of range, which is noted.
__device__ inline bool inRange(int64_t& index, int64_t size, int dim, bool fromEnd, const Faults& faults) {
    if (index < (fromEnd ? -size : 0) || index >= size) {
        faults.index(index, dim, size);
        return false;
    }
    if (index < 0) index += size;
    return true;
}

// Sums as the processor does, in the type computed in: one thread after the other adds to a place, in no
// fixed order, so that the last bits of floating sums may differ from run to run.
template <typename T>
__device__ inline void addTo(T* slot, T value) {
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
        atomicAdd(slot, value);
    } else if constexpr (std::is_same_v<T, int64_t>) {
        atomicAdd(reinterpret_cast<unsigned long long*>(slot), static_cast<unsigned long long>(value));
    } else if constexpr (std::is_same_v<T, int32_t>) {
        atomicAdd(slot, value);
    } else {
        // Smaller types through the word that holds them.
        auto* const word = reinterpret_cast<unsigned*>(reinterpret_cast<uintptr_t>(slot) & ~uintptr_t{3});
        const unsigned shift = static_cast<unsigned>(reinterpret_cast<uintptr_t>(slot) & 3) * 8;
        constexpr unsigned kBits = sizeof(T) == 1 ? 0xffu : 0xffffu;
        unsigned seen = *word;
        for (;;) {
            T current;
            const auto bits =
                static_cast<std::conditional_t<sizeof(T) == 1, uint8_t, uint16_t>>(seen >> shift);
            memcpy(static_cast<void*>(&current), &bits, sizeof current);
            T sum;
            if constexpr (kIsHalf<T>) {
                sum = fromCompute<T>(toCompute(current) + toCompute(value));
            } else {
                sum = static_cast<T>(current + value);
            }
            std::conditional_t<sizeof(T) == 1, uint8_t, uint16_t> sumBits;
            memcpy(&sumBits, &sum, sizeof sum);
            const unsigned next = (seen & ~(kBits << shift)) | (static_cast<unsigned>(sumBits) << shift);
            const unsigned before = atomicCAS(word, seen, next);
            if (before == seen) return;
            seen = before;
        }
    }
}

enum class Mode {
    Read,
    Write,  // where a place comes several times, the last one in the source's order wins
    Add,
    Or,  // what booleans add up to: what is true stays so, and what is added makes true
};

// Who writes to a place that may come several times: the number in the source's order, from 1 on, of the last
// one. A pass of its own claims all places before anything is written.
using Owner = unsigned long long;

__device__ inline void claimPlace(Owner* owner, int64_t number) {
    atomicMax(owner, static_cast<Owner>(number) + 1);
}

// `owner`: null where nobody needs to be asked, since no place comes twice or all write the same.
__device__ inline bool ownsPlace(const Owner* owner, int64_t number) {
    return !owner || *owner == static_cast<Owner>(number) + 1;
}

inline Owner* clearOwners(CudaRuntime& runtime, void* memory, int64_t count) {
    check(cudaMemsetAsync(memory, 0, static_cast<size_t>(count) * sizeof(Owner), runtime.stream()),
          "clearing");
    return static_cast<Owner*>(memory);
}

// Between an element of the tensor that indices point into and one of the tensor beside them.
template <Mode mode, typename T>
__device__ inline void moveElement(T& picked, T& dense) {
    if constexpr (mode == Mode::Read) {
        dense = picked;
    } else if constexpr (mode == Mode::Write) {
        picked = dense;
    } else if constexpr (mode == Mode::Add) {
        addTo(&picked, dense);
    } else {
        if (dense) picked = dense;
    }
}

// All types but booleans, whose sums are Mode::Or.
template <typename Body>
void dispatchAdding(DType dtype, const Body& body) {
    dispatchAll(dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        if constexpr (!std::is_same_v<T, bool>) body(tag);
    });
}

}  // namespace anneal::cuda
