#include "cpu/onednn.h"

#include <sys/mman.h>

#include <cstdlib>

namespace anneal::cpu::onednn {

dnnl::engine& engine() {
    static dnnl::engine instance(dnnl::engine::kind::cpu, 0);
    return instance;
}

dnnl::stream& stream() {
    thread_local dnnl::stream instance(engine());
    return instance;
}

namespace {

constexpr size_t kHugePage = 2 << 20;

struct Buffer {
    void* data = nullptr;
    size_t bytes = 0;
    ~Buffer() { std::free(data); }
};

}  // namespace

void* scratch(int slot, size_t bytes) {
    constexpr int kSlots = 4;
    thread_local Buffer buffers[kSlots];
    Buffer& buffer = buffers[slot];
    if (bytes > buffer.bytes || !buffer.data) {
        std::free(buffer.data);
        const size_t page = bytes < kHugePage ? 4096 : kHugePage;
        buffer.bytes = (bytes + page - 1) / page * page;
        buffer.data = std::aligned_alloc(page, buffer.bytes);
#ifdef MADV_HUGEPAGE
        if (buffer.data && page == kHugePage) madvise(buffer.data, buffer.bytes, MADV_HUGEPAGE);
#endif
        if (!buffer.data) {
            buffer.bytes = 0;
            fail(ErrorKind::OutOfMemory, "out of memory: ", bytes, " bytes of scratch space asked for");
        }
    }
    return buffer.data;
}

memory::data_type dataType(DType dtype) {
    switch (dtype) {
        case DType::Float32:
            return memory::data_type::f32;
        case DType::BFloat16:
            return memory::data_type::bf16;
        default:
            fail(ErrorKind::DType, "oneDNN does not compute in ", dtypeName(dtype));
    }
}

}  // namespace anneal::cpu::onednn
