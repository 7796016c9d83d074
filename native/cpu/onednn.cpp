#include "cpu/onednn.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace anneal::cpu::onednn {

dnnl::engine& engine() {
    static dnnl::engine instance(dnnl::engine::kind::cpu, 0);
    return instance;
}

dnnl::stream& stream() {
    thread_local dnnl::stream instance(engine());
    return instance;
}

#if defined(__x86_64__)

bool hasMatrixUnits() {
    // The processor has them, and oneDNN was given leave to use them by the operating system. Later sets have
    // names that earlier versions of oneDNN do not know.
    static const bool answer = [] {
        unsigned a = 0, b = 0, c = 0, d = 0;
        constexpr unsigned kAmxBFloat16 = 1u << 22;
        if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & kAmxBFloat16)) return false;
        using isa = dnnl::cpu_isa;
        for (const isa without : {isa::all, isa::sse41, isa::avx, isa::avx2, isa::avx512_core,
                                  isa::avx512_core_vnni, isa::avx512_core_bf16}) {
            if (dnnl::get_effective_cpu_isa() == without) return false;
        }
        return true;
    }();
    return answer;
}

bool hasBFloat16() {
    static const bool answer = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return answer;
}

#else

bool hasMatrixUnits() { return false; }
bool hasBFloat16() { return false; }

#endif

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
