// Grids of threads on one processor thread. Threads that wait for each other are fibers: each has a stack of
// its own, runs until it waits, and then the next one's turn comes, always in the same order.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace anneal::emulation {

namespace {

constexpr size_t kStackBytes = size_t{64} << 10;
constexpr unsigned kWarpSize = 32;

[[noreturn]] void stop(const char* message) {
    std::fprintf(stderr, "CUDA emulation: %s\n", message);
    std::abort();
}

// Saves the registers that a function must keep on the running stack and goes on with those of another.
#if defined(__x86_64__)
extern "C" void annealSwitchStack(void** saved, void* next);
asm(R"(
.text
.globl annealSwitchStack
.hidden annealSwitchStack
.type annealSwitchStack, @function
annealSwitchStack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size annealSwitchStack, .-annealSwitchStack
)");
#else
#error "the CUDA emulation switches stacks on x86-64 only"
#endif

enum class State { Ready, InBlock, InWarp, Done };

struct Fiber {
    void* stackPointer = nullptr;
    State state = State::Done;
    uint3 index;
    unsigned warp = 0, lane = 0;
    void* shadow = nullptr;  // AddressSanitizer's
};

struct Warp {
    unsigned members = 0;  // lanes that live
    unsigned wanted = 0, arrived = 0;
    alignas(16) unsigned char values[2][kWarpSize][16];
    unsigned turn = 0;
};

struct Machine {
    std::mutex mutex;
    char* stacks = nullptr;
    unsigned stackCount = 0;
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    void* mainStack = nullptr;
    void* mainShadow = nullptr;
    const void* mainBottom = nullptr;
    size_t mainSize = 0;
    unsigned current = 0, live = 0, waiting = 0;
    bool together = false;
    void (*body)(const void*) = nullptr;
    const void* closure = nullptr;
    std::unique_ptr<unsigned char[]> shared;
};

Machine machine;

char* stackOf(unsigned i) { return machine.stacks + i * kStackBytes; }

void enterMain(bool forGood) {
    Fiber& fiber = machine.fibers[machine.current];
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(forGood ? nullptr : &fiber.shadow, machine.mainBottom, machine.mainSize);
#endif
    (void)forGood;
    annealSwitchStack(&fiber.stackPointer, machine.mainStack);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fiber.shadow, nullptr, nullptr);
#endif
}

void fiberMain() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &machine.mainBottom, &machine.mainSize);
#endif
    machine.body(machine.closure);
    Fiber& fiber = machine.fibers[machine.current];
    fiber.state = State::Done;
    enterMain(true);
    stop("a finished thread was woken");
}

void resume(unsigned i) {
    machine.current = i;
    threadIdx = machine.fibers[i].index;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&machine.mainShadow, stackOf(i), kStackBytes);
#endif
    annealSwitchStack(&machine.mainStack, machine.fibers[i].stackPointer);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(machine.mainShadow, nullptr, nullptr);
#endif
}

// A stack that, when switched to, "returns" into fiberMain.
void prepare(unsigned i, uint3 index, unsigned linear) {
    Fiber& fiber = machine.fibers[i];
    auto** top = reinterpret_cast<void**>(stackOf(i) + kStackBytes);
    *--top = nullptr;  // keeps the stack as aligned as after a call
    *--top = reinterpret_cast<void*>(&fiberMain);
    for (int k = 0; k < 6; k++) *--top = nullptr;
    fiber.stackPointer = top;
    fiber.state = State::Ready;
    fiber.index = index;
    fiber.warp = linear / kWarpSize;
    fiber.lane = linear % kWarpSize;
}

void needStacks(unsigned count) {
    if (count <= machine.stackCount) return;
    if (machine.stacks) munmap(machine.stacks, machine.stackCount * kStackBytes);
    void* const memory = mmap(nullptr, count * kStackBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) stop("no memory for stacks");
    machine.stacks = static_cast<char*>(memory);
    machine.stackCount = count;
}

template <typename Body>
void forThreads(const Body& body) {
    unsigned linear = 0;
    for (unsigned z = 0; z < blockDim.z; z++) {
        for (unsigned y = 0; y < blockDim.y; y++) {
            for (unsigned x = 0; x < blockDim.x; x++) body(uint3{x, y, z}, linear++);
        }
    }
}

void runBlockTogether() {
    const unsigned count = blockDim.x * blockDim.y * blockDim.z;
    machine.warps.assign((count + kWarpSize - 1) / kWarpSize, Warp{});
    forThreads([](uint3 index, unsigned linear) {
        prepare(linear, index, linear);
        machine.warps[linear / kWarpSize].members |= 1u << linear % kWarpSize;
    });
    machine.live = count;
    machine.waiting = 0;
    while (machine.live > 0) {
        bool any = false;
        for (unsigned i = 0; i < count; i++) {
            if (machine.fibers[i].state != State::Ready) continue;
            any = true;
            resume(i);
            if (machine.fibers[i].state == State::Done) {
                machine.live--;
                machine.warps[machine.fibers[i].warp].members &= ~(1u << machine.fibers[i].lane);
            }
        }
        if (any || machine.live == 0) continue;
        // All that live wait: for the block, if all of them do so.
        if (machine.waiting != machine.live)
            stop("threads of a block wait for each other in different places");
        for (unsigned i = 0; i < count; i++) {
            if (machine.fibers[i].state == State::InBlock) machine.fibers[i].state = State::Ready;
        }
        machine.waiting = 0;
    }
}

}  // namespace

void runGrid(dim3 blocks, dim3 threads, size_t sharedBytes, bool together, void (*body)(const void*),
             const void* closure) {
    const std::lock_guard<std::mutex> lock(machine.mutex);
    const Access access;
    gridDim = blocks;
    blockDim = threads;
    const unsigned count = threads.x * threads.y * threads.z;
    if (count == 0 || count > 1024) stop("a block has 1 to 1024 threads");
    if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0 || blocks.y > 65535 || blocks.z > 65535)
        stop("a grid of impossible size");
    if (sharedBytes > 48 * 1024) stop("more than 48 KiB of shared memory");
    machine.together = together;
    machine.body = body;
    machine.closure = closure;
    if (together) {
        needStacks(count);
        if (machine.fibers.size() < count) machine.fibers.resize(count);
    }
    for (unsigned z = 0; z < blocks.z; z++) {
        for (unsigned y = 0; y < blocks.y; y++) {
            for (unsigned x = 0; x < blocks.x; x++) {
                blockIdx = {x, y, z};
                machine.shared.reset(sharedBytes > 0 ? new unsigned char[sharedBytes] : nullptr);
                // What a block leaves in shared memory is not to be relied upon.
                if (sharedBytes > 0) std::memset(machine.shared.get(), 0xcd, sharedBytes);
                if (together) {
                    runBlockTogether();
                } else {
                    forThreads([&](uint3 index, unsigned) {
                        threadIdx = index;
                        body(closure);
                    });
                }
            }
        }
    }
}

void* sharedMemory() { return machine.shared.get(); }

unsigned laneId() {
    if (!machine.together) stop("this kernel exchanges values between threads: start it with launchTogether");
    return machine.fibers[machine.current].lane;
}

void syncBlock() {
    if (!machine.together) stop("this kernel synchronises its threads: start it with launchTogether");
    Fiber& fiber = machine.fibers[machine.current];
    fiber.state = State::InBlock;
    machine.waiting++;
    enterMain(false);
}

void exchange(unsigned mask, const void* mine, void* theirs, size_t bytes, unsigned source) {
    const unsigned lane = laneId();
    Fiber& fiber = machine.fibers[machine.current];
    Warp& warp = machine.warps[fiber.warp];
    if (bytes > 16) stop("values of more than 16 bytes cannot be exchanged");
    if (!(mask >> lane & 1)) stop("a thread is not in the mask that it exchanges values with");
    const unsigned wanted = mask & warp.members;
    if (warp.arrived == 0) warp.wanted = wanted;
    if (warp.wanted != wanted) stop("threads of a warp exchange values with different masks");
    // Two places in turn: a lane may bring its next value before another has fetched this one.
    const unsigned turn = warp.turn;
    std::memcpy(warp.values[turn][lane], mine, bytes);
    warp.arrived |= 1u << lane;
    if (warp.arrived == warp.wanted) {
        warp.arrived = 0;
        warp.turn ^= 1;
        for (unsigned i = 0; i < machine.fibers.size(); i++) {
            Fiber& other = machine.fibers[i];
            if (other.state == State::InWarp && other.warp == fiber.warp) other.state = State::Ready;
        }
    } else {
        fiber.state = State::InWarp;
        enterMain(false);
    }
    if (!(mask >> (source & 31) & 1)) source = lane;
    std::memcpy(theirs, warp.values[turn][source & 31], bytes);
}

}  // namespace anneal::emulation
