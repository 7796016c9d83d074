// Matrix products through cuBLASLt; integers, which it does not have, by a plain kernel. The library's
// matrices lie by columns, ours by rows: it is asked for c^T = b^T a^T, whose memory is c's. A bias for each
// column of c is then one for each of its rows, which the library adds on the way.
#include <map>
#include <memory>
#include <vector>

#include "cuda/cublaslt.h"
#include "cuda/settings.h"
#include "cuda/submit.h"

namespace anneal::cuda {

namespace {

constexpr size_t kMostWorkspace = size_t{32} << 20;

// One matrix of a batch: rows, columns and the steps between them, in elements.
struct Matrix {
    int64_t rows, columns, rowStep, columnStep;
    explicit Matrix(const View& view)
        : rows(view.sizes[view.dims() - 2]),
          columns(view.sizes[view.dims() - 1]),
          rowStep(view.strides[view.dims() - 2]),
          columnStep(view.strides[view.dims() - 1]) {}
    // Whether rows lie apart by `leading` (as they do in c), or columns do.
    bool byRows() const { return columnStep == 1 || columns == 1; }
    int64_t leading() const {
        if (byRows()) return rows == 1 ? std::max<int64_t>(columns, 1) : rowStep;
        return columns == 1 ? std::max<int64_t>(rows, 1) : columnStep;
    }
};

// The matrices of a stack: where they lie apart evenly, one call multiplies all.
struct Batch {
    int64_t count = 1;
    std::vector<int64_t> offsetsA, offsetsB, offsetsC;  // when not even
    int64_t stepA = 0, stepB = 0, stepC = 0;
    bool even = true;

    Batch(const View& c, const View& a, const View& b) {
        for (int i = 0; i + 2 < c.dims(); i++) count *= c.sizes[i];
        even = evenStep(a, stepA) && evenStep(b, stepB) && evenStep(c, stepC);
        if (even) return;
        for (int64_t i = 0; i < count; i++) {
            offsetsA.push_back(offsetOf(a, c, i));
            offsetsB.push_back(offsetOf(b, c, i));
            offsetsC.push_back(offsetOf(c, c, i));
        }
    }

    static bool evenStep(const View& view, int64_t& step) {
        int64_t size = 1;
        bool any = false;
        for (int i = view.dims() - 3; i >= 0; i--) {
            if (view.sizes[i] == 1) continue;
            if (!any) {
                step = view.strides[i];
                any = true;
            } else if (view.strides[i] != step * size) {
                return false;
            }
            size *= view.sizes[i];
        }
        return true;
    }
    static int64_t offsetOf(const View& view, const View& c, int64_t index) {
        int64_t offset = 0;
        for (int i = c.dims() - 3; i >= 0; i--) {
            offset += index % c.sizes[i] * view.strides[i];
            index /= c.sizes[i];
        }
        return offset;
    }
};

lt::DataType dataType(DType dtype) {
    switch (dtype) {
        case DType::Float64:
            return lt::kFloat64;
        case DType::BFloat16:
            return lt::kBFloat16;
        case DType::Float16:
            return lt::kFloat16;
        default:
            return lt::kFloat32;
    }
}

uint32_t alignmentOf(const void* pointer) {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    uint32_t alignment = 256;
    while (address % alignment != 0) alignment /= 2;
    return alignment;
}

// Descriptors and the algorithm for one shape.
struct Plan {
    lt::MatmulDesc desc = nullptr;
    lt::Layout first = nullptr, second = nullptr, result = nullptr;
    lt::Algorithm algorithm;
    size_t workspaceBytes = 0;
    bool found = false;
    bool lasting = false;  // whether the same would be found another time

    Plan() = default;
    Plan(const Plan&) = delete;
    ~Plan() {
        const lt::Functions& f = lt::functions();
        if (desc) f.destroyDesc(desc);
        for (lt::Layout layout : {first, second, result}) {
            if (layout) f.destroyLayout(layout);
        }
    }
};

class Multiplier {
  public:
    explicit Multiplier(CudaRuntime& runtime) : runtime_(runtime) {
        lt::Status status = lt::functions().create(&handle_);
        if (status != lt::kSuccess && runtime.reclaim()) status = lt::functions().create(&handle_);
        lt::check(status, "opening it");
    }
    ~Multiplier() {
        plans_.clear();
        lt::functions().destroy(handle_);
    }

    // False where the library has no algorithm for it, or none at the moment.
    bool run(DType dtype, char* c, const char* a, const char* b, const void* bias, const Matrix& mc,
             const Matrix& ma, const Matrix& mb, const Batch& batch, int64_t count, bool fast) {
        const lt::Functions& f = lt::functions();
        const uint32_t alignments[3] = {alignmentOf(b), alignmentOf(a), alignmentOf(c)};
        const std::vector<int64_t> key{static_cast<int64_t>(dtype),
                                       fast,
                                       bias != nullptr,
                                       mc.rows,
                                       mc.columns,
                                       ma.columns,
                                       ma.byRows(),
                                       ma.leading(),
                                       mb.byRows(),
                                       mb.leading(),
                                       mc.leading(),
                                       count,
                                       batch.stepA,
                                       batch.stepB,
                                       batch.stepC,
                                       alignments[0],
                                       alignments[1],
                                       alignments[2]};
        const auto make = [&](size_t mostWorkspace) {
            return find(dtype, fast, bias, mc, ma, mb, batch, count, alignments, mostWorkspace);
        };
        const auto known = plans_.find(key);
        std::shared_ptr<Plan> chosen = known == plans_.end() ? make(kMostWorkspace) : known->second;
        if (known == plans_.end() && chosen->lasting) plans_.emplace(key, chosen);
        // Where memory is short, one that needs none.
        if (chosen->found && !runtime_.hasWorkspace(chosen->workspaceBytes)) chosen = make(0);
        const Plan& plan = *chosen;
        if (!plan.found) return false;
        void* const workspace = plan.workspaceBytes > 0 ? runtime_.workspace(plan.workspaceBytes) : nullptr;
        if (bias) lt::check(f.setDesc(plan.desc, lt::kBiasPointer, &bias, sizeof bias), "setting a bias");
        const double one64 = 1, zero64 = 0;
        const float one32 = 1, zero32 = 0;
        const bool wide = dtype == DType::Float64;
        lt::check(
            f.matmul(handle_, plan.desc, wide ? static_cast<const void*>(&one64) : &one32, b, plan.first, a,
                     plan.second, wide ? static_cast<const void*>(&zero64) : &zero32, c, plan.result, c,
                     plan.result, &plan.algorithm, workspace, plan.workspaceBytes, runtime_.stream()),
            "multiplying");
        return true;
    }

  private:
    std::shared_ptr<Plan> find(DType dtype, bool fast, const void* bias, const Matrix& mc, const Matrix& ma,
                               const Matrix& mb, const Batch& batch, int64_t count,
                               const uint32_t (&alignments)[3], size_t mostWorkspace) {
        const lt::Functions& f = lt::functions();
        auto plan = std::make_shared<Plan>();
        const bool wide = dtype == DType::Float64;
        lt::check(f.createDesc(&plan->desc,
                               wide   ? lt::kCompute64
                               : fast ? lt::kCompute32Fast
                                      : lt::kCompute32,
                               wide ? lt::kFloat64 : lt::kFloat32),
                  "describing a product");
        const int32_t opB = mb.byRows() ? lt::kPlain : lt::kTransposed,
                      opA = ma.byRows() ? lt::kPlain : lt::kTransposed;
        lt::check(f.setDesc(plan->desc, lt::kTransposeA, &opB, sizeof opB), "describing a product");
        lt::check(f.setDesc(plan->desc, lt::kTransposeB, &opA, sizeof opA), "describing a product");
        if (bias) {
            const uint32_t epilogue = lt::kBias;
            lt::check(f.setDesc(plan->desc, lt::kEpilogue, &epilogue, sizeof epilogue),
                      "describing a product");
            lt::check(f.setDesc(plan->desc, lt::kBiasPointer, &bias, sizeof bias), "describing a product");
        }
        // By columns, a matrix that lies by rows is its own transpose.
        const auto layout = [&](lt::Layout& made, const Matrix& m, int64_t step) {
            const int64_t rows = m.byRows() ? m.columns : m.rows, columns = m.byRows() ? m.rows : m.columns;
            lt::check(f.createLayout(&made, dataType(dtype), static_cast<uint64_t>(rows),
                                     static_cast<uint64_t>(columns), m.leading()),
                      "describing a matrix");
            if (count > 1) {
                const auto batches = static_cast<int32_t>(count);
                lt::check(f.setLayout(made, lt::kBatchCount, &batches, sizeof batches),
                          "describing a matrix");
                lt::check(f.setLayout(made, lt::kBatchStride, &step, sizeof step), "describing a matrix");
            }
        };
        layout(plan->first, mb, batch.stepB);
        layout(plan->second, ma, batch.stepA);
        layout(plan->result, mc, batch.stepC);
        lt::Preference preference;
        lt::check(f.createPreference(&preference), "stating preferences");
        f.setPreference(preference, lt::kWorkspaceBytes, &mostWorkspace, sizeof mostWorkspace);
        const lt::PreferenceAttribute sides[] = {lt::kAlignmentA, lt::kAlignmentB, lt::kAlignmentC,
                                                 lt::kAlignmentD};
        const uint32_t of[] = {alignments[0], alignments[1], alignments[2], alignments[2]};
        for (int i = 0; i < 4; i++) f.setPreference(preference, sides[i], &of[i], sizeof of[i]);
        lt::Heuristic best;
        int found = 0;
        const lt::Status status = f.heuristic(handle_, plan->desc, plan->first, plan->second, plan->result,
                                              plan->result, preference, 1, &best, &found);
        f.destroyPreference(preference);
        plan->found = status == lt::kSuccess && found > 0;
        plan->lasting = status == lt::kSuccess || lt::declines(status);
        if (plan->found) {
            plan->algorithm = best.algorithm;
            plan->workspaceBytes = best.workspaceBytes;
        }
        return plan;
    }

    CudaRuntime& runtime_;
    lt::Handle handle_;
    std::map<std::vector<int64_t>, std::shared_ptr<Plan>> plans_;
};

// --- what the library does not do

struct PlainShape {
    int64_t rows, columns, inner, batch;
    int64_t aRow, aColumn, bRow, bColumn;
    int dims;
    int64_t sizes[kMaxDims], stepsA[kMaxDims], stepsB[kMaxDims];
};

template <typename T>
__global__ void multiplyPlain(T* c, const T* a, const T* b, const T* bias, PlainShape s) {
    using C = std::conditional_t<std::is_floating_point_v<Compute<T>>, Compute<T>, int64_t>;
    const int64_t total = s.batch * s.rows * s.columns;
    for (int64_t i = globalThread(); i < total; i += globalThreads()) {
        const int64_t column = i % s.columns, row = i / s.columns % s.rows;
        int64_t block = i / s.columns / s.rows, offsetA = row * s.aRow, offsetB = column * s.bColumn;
        for (int k = 0; k < s.dims; k++) {
            offsetA += block % s.sizes[k] * s.stepsA[k];
            offsetB += block % s.sizes[k] * s.stepsB[k];
            block /= s.sizes[k];
        }
        C sum = bias ? static_cast<C>(toCompute(bias[column])) : C{};
        for (int64_t k = 0; k < s.inner; k++) {
            sum += static_cast<C>(toCompute(a[offsetA + k * s.aColumn])) *
                   static_cast<C>(toCompute(b[offsetB + k * s.bRow]));
        }
        c[i] = convertTo<T, C>(sum);
    }
}

template <typename T>
__global__ void addRowBias(T* c, const T* bias, int64_t count, int64_t columns) {
    for (int64_t i = globalThread(); i < count; i += globalThreads())
        c[i] = fromCompute<T>(toCompute(c[i]) + toCompute(bias[i % columns]));
}

void runPlain(CudaRuntime& runtime, const View& c, const View& a, const View& b, const View* bias) {
    const Matrix ma(a), mb(b), mc(c);
    PlainShape s{mc.rows,    mc.columns,    ma.columns, 1,  ma.rowStep, ma.columnStep,
                 mb.rowStep, mb.columnStep, 0,          {}, {},         {}};
    for (int i = c.dims() - 3; i >= 0; i--) {
        s.batch *= c.sizes[i];
        s.sizes[s.dims] = c.sizes[i];
        s.stepsA[s.dims] = a.strides[i];
        s.stepsB[s.dims++] = b.strides[i];
    }
    dispatchAll(c.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        launch(multiplyPlain<T>, gridFor(c.numel()), runtime.stream(), c.as<T>(), a.as<const T>(),
               b.as<const T>(), static_cast<const T*>(bias ? bias->data : nullptr), s);
    });
}

void addBias(CudaRuntime& runtime, const View& c, const View& bias) {
    dispatchFloating(c.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        launch(addRowBias<T>, gridFor(c.numel()), runtime.stream(), c.as<T>(), bias.as<const T>(), c.numel(),
               c.sizes[c.dims() - 1]);
    });
}

}  // namespace

void matmul(Context& context, const View& c, const View& a, const View& b, const View* bias) {
    const bool withBias = bias != nullptr, fast = c.dtype == DType::Float32 && allowsTf32();
    submit(context, "matmul", [=, biasView = bias ? *bias : View{}](CudaRuntime& runtime) {
        const View* const biasPointer = withBias ? &biasView : nullptr;
        if (c.numel() == 0) return;
        const Matrix ma(a), mb(b), mc(c);
        if (!isFloating(c.dtype) || ma.columns == 0) return runPlain(runtime, c, a, b, biasPointer);
        Multiplier& multiplier = runtime.attached<Multiplier>();
        const Batch batch(c, a, b);
        const auto bytes = static_cast<int64_t>(dtypeSize(c.dtype));
        const int64_t calls = batch.even ? 1 : batch.count;
        // The library adds a bias to one product, and reads packs of it; to a stack, in double precision, and
        // from anywhere in memory, a kernel does.
        const bool fused = withBias && batch.count == 1 && c.dtype != DType::Float64 &&
                           reinterpret_cast<uintptr_t>(biasView.data) % 16 == 0;
        for (int64_t i = 0; i < calls; i++) {
            char* const target = c.as<char>() + (batch.even ? 0 : batch.offsetsC[i] * bytes);
            const char* const left = a.as<char>() + (batch.even ? 0 : batch.offsetsA[i] * bytes);
            const char* const right = b.as<char>() + (batch.even ? 0 : batch.offsetsB[i] * bytes);
            const bool done = multiplier.run(c.dtype, target, left, right, fused ? biasView.data : nullptr,
                                             mc, ma, mb, batch, batch.even ? batch.count : 1, fast);
            if (!done) return runPlain(runtime, c, a, b, biasPointer);
        }
        if (withBias && !fused) addBias(runtime, c, biasView);
    });
}

}  // namespace anneal::cuda
