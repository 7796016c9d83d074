#pragma once

#include <map>
#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/storage.h"

namespace anneal {

class Context;

// Work that was enqueued once and can be enqueued again as a whole, on the same memory: what the ops of a
// training step put into the queue, without the ops. On an accelerator that can capture what is launched
// (CUDA Graphs) the first repetition does so, and further ones launch that.
//
// Memory: blocks of storages that die while it is being made go to the next ones of their size, within it
// alone; those that still live, and those that its ops were given, live as long as it does.
class Recording {
  public:
    explicit Recording(Context& context) : context_(context) {}
    ~Recording();
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

    // --- while it is being made
    void add(const char* op, std::shared_ptr<void> body, void (*run)(void*));
    void keep(const StorageRef& storage);
    void bornHere(Storage* storage) { living_.insert(storage); }
    void keepAlways(Storage* storage) { kept_.push_back(StorageRef(storage)); }
    void diedHere(Storage* storage) { living_.erase(storage); }
    // A block of exactly this size that a storage has left behind, or null.
    void* reuse(Device device, size_t bytes);
    void leave(Device device, size_t bytes, void* block) {
        spare_[{device.number(), bytes}].push_back(block);
    }
    void finish();

    // Before it is enqueued again: its ops may write to what they were given.
    void forgetDerived() const {
        for (const StorageRef& storage : kept_) storage->forgetDerived();
    }

    // --- on the engine thread
    void run();

    size_t steps() const { return steps_.size(); }
    bool captured() const { return graph_ != nullptr; }

  private:
    struct Step {
        const char* op;
        std::shared_ptr<void> body;
        void (*run)(void*);
    };
    void runSteps();

    Context& context_;
    std::vector<Step> steps_;
    std::unordered_set<Storage*> living_;
    std::unordered_set<Storage*> known_;
    std::vector<StorageRef> kept_;
    std::map<std::pair<int, size_t>, std::vector<void*>> spare_;
    int device_ = -1;  // of all steps, if it is one; -2 if not
    std::shared_ptr<void> graph_;
    bool captureTried_ = false;
};

// Within its life nothing is recorded.
class Unrecorded {
  public:
    explicit Unrecorded(Context& context);
    ~Unrecorded();
    Unrecorded(const Unrecorded&) = delete;
    Unrecorded& operator=(const Unrecorded&) = delete;

  private:
    Context& context_;
    Recording* const before_;
};

}  // namespace anneal
