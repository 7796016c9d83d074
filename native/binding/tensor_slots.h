#pragma once

#include <cstdint>
#include <vector>

#include "core/op_table.h"

namespace anneal::binding {

// What JavaScript holds of a tensor: a small integer, the slot's index with a generation count on top. A slot
// that has been freed and given out again answers to a new number only, so a stale handle is an error and
// never another tensor.
class TensorSlots : public TensorTable {
  public:
    static constexpr int kIndexBits = 22;
    static constexpr uint32_t kMaxSlots = 1u << kIndexBits;
    static constexpr uint32_t kGenerations = 1u << 8;  // 30 bits in all: a small integer to V8

    int32_t add(Tensor tensor) {
        uint32_t index;
        if (!free_.empty()) {
            index = free_.back();
            free_.pop_back();
        } else {
            index = static_cast<uint32_t>(slots_.size());
            CHECK(index < kMaxSlots, ErrorKind::General, "more than ", kMaxSlots,
                  " live tensors: run each step of a hand-written loop in scope(() => { … }), or call "
                  "dispose()");
            slots_.emplace_back();
        }
        Slot& slot = slots_[index];
        slot.tensor = std::move(tensor);
        slot.used = true;
        live_++;
        return static_cast<int32_t>(index | (slot.generation << kIndexBits));
    }

    const Tensor& get(double handle) const override { return slots_[find(handle)].tensor; }

    void release(double handle) {
        const uint32_t index = find(handle);
        Slot& slot = slots_[index];
        slot.tensor = Tensor();
        slot.used = false;
        slot.generation = (slot.generation + 1) % kGenerations;
        free_.push_back(index);
        live_--;
    }

    size_t live() const { return live_; }

  private:
    struct Slot {
        Tensor tensor;
        uint32_t generation = 0;
        bool used = false;
    };

    uint32_t find(double handle) const {
        CHECK(handle >= 1 && handle < 1073741824.0, ErrorKind::General, "this tensor has been freed");
        const auto number = static_cast<uint32_t>(handle);
        const uint32_t index = number & (kMaxSlots - 1);
        CHECK(index < slots_.size() && slots_[index].used && slots_[index].generation == number >> kIndexBits,
              ErrorKind::General, "this tensor has been freed");
        return index;
    }

    std::vector<Slot> slots_ = std::vector<Slot>(1);  // handle 0 is never given out
    std::vector<uint32_t> free_;
    size_t live_ = 0;
};

}  // namespace anneal::binding
