#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "core/device.h"

namespace anneal {

class Context;
class Recording;

// What kernels have made of a storage's values for their own use, such as weights in another order. The
// engine thread fills it; the storage forgets it when an op takes its tensor otherwise than as `Weights`
// (op_table.h).
class Derived {
  public:
    virtual ~Derived() = default;
    int uses = 0;  // counted by the enqueuing thread
};

// A block of a device's memory with a reference count. Counts are plain integers: only the enqueuing thread
// holds references, since queued kernels work on raw pointers.
class Storage {
  public:
    Storage(Context& context, Device device, size_t bytes, bool forHost);
    ~Storage();
    Storage(const Storage&) = delete;
    Storage& operator=(const Storage&) = delete;

    void* data() const { return data_; }
    size_t bytes() const { return bytes_; }
    Device device() const { return device_; }
    int references() const { return references_; }
    // The recording during which it was made, while that lives.
    Recording* recording() const { return recording_; }
    void outliveRecording() { recording_ = nullptr; }
    const std::shared_ptr<Derived>& derived() const { return derived_; }
    void derive(std::shared_ptr<Derived> derived) { derived_ = std::move(derived); }
    // Before values may change.
    void forgetDerived() {
        if (__builtin_expect(derived_ != nullptr, 0)) derived_.reset();
    }

  private:
    friend class StorageRef;
    Context& context_;
    Device device_;
    void* data_;
    size_t bytes_;
    size_t capacity_;  // of the block, as it was asked for
    Recording* recording_;
    std::shared_ptr<Derived> derived_;
    int references_ = 0;
};

class StorageRef {
  public:
    StorageRef() = default;
    explicit StorageRef(Storage* storage) : storage_(storage) { retain(); }
    StorageRef(const StorageRef& other) : storage_(other.storage_) { retain(); }
    StorageRef(StorageRef&& other) noexcept : storage_(std::exchange(other.storage_, nullptr)) {}
    StorageRef& operator=(StorageRef other) noexcept {
        std::swap(storage_, other.storage_);
        return *this;
    }
    ~StorageRef() {
        if (storage_ && --storage_->references_ == 0) delete storage_;
    }
    Storage* operator->() const { return storage_; }
    Storage* get() const { return storage_; }
    explicit operator bool() const { return storage_ != nullptr; }

  private:
    void retain() {
        if (storage_) storage_->references_++;
    }
    Storage* storage_ = nullptr;
};

}  // namespace anneal
