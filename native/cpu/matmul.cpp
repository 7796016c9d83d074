#include "cpu/gemm.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"
#include "cpu/onednn.h"

#include <vector>

namespace anneal::cpu {

namespace {

// One matrix of a batch: rows, columns and the steps between them, in elements.
struct Matrix {
    int64_t rows, columns, rowStep, columnStep;
    explicit Matrix(const View& view)
        : rows(view.sizes[view.dims() - 2]),
          columns(view.sizes[view.dims() - 1]),
          rowStep(view.strides[view.dims() - 2]),
          columnStep(view.strides[view.dims() - 1]) {}
};

// A layout that oneDNN takes: 'N' rows lie apart by `leading`, 'T' columns do.
struct GemmSide {
    char transpose;
    int64_t leading;
};

GemmSide sideOf(const Matrix& m) {
    if (m.columnStep == 1 || m.columns == 1)
        return {'N', m.rows == 1 ? std::max<int64_t>(m.columns, 1) : m.rowStep};
    return {'T', m.columns == 1 ? std::max<int64_t>(m.rows, 1) : m.columnStep};
}

int64_t batchOffset(const View& view, const Dims& batch, int64_t index) {
    int64_t offset = 0;
    for (int d = batch.size() - 1; d >= 0; d--) {
        offset += index % batch[d] * view.strides[d];
        index /= batch[d];
    }
    return offset;
}

Dims batchOf(const View& c) {
    Dims batch;
    for (int i = 0; i + 2 < c.dims(); i++) batch.push(c.sizes[i]);
    return batch;
}

// Every row of c starts as the bias.
template <typename T>
void spreadBias(const View& c, const View& bias) {
    const int64_t columns = c.sizes[c.dims() - 1], rows = columns == 0 ? 0 : c.numel() / columns;
    T* target = c.as<T>();
    const T* source = bias.as<const T>();
    parallelFor(rows, std::max<int64_t>(1, kGrain / std::max<int64_t>(columns, 1)),
                [&](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; i++) std::copy_n(source, columns, target + i * columns);
                });
}

void multiplyFloat(const View& c, const View& a, const View& b, const View* bias) {
    const Matrix ma(a), mb(b), mc(c);
    const Dims batch = batchOf(c);
    const int64_t batches = numelOf(batch);
    if (bias) spreadBias<float>(c, *bias);
    constexpr int64_t kSmall = 4'000'000;  // products for which the team would take no less time
    const int64_t work = mc.rows * mc.columns * ma.columns;
    const auto one = [&](int64_t index) {
        const float* const left = a.as<const float>() + batchOffset(a, batch, index);
        const float* const right = b.as<const float>() + batchOffset(b, batch, index);
        float* const to = c.as<float>() + batchOffset(c, batch, index);
        if (work < kSmall) {
            gemm::multiply(mc.rows, mc.columns, ma.columns, {left, ma.rowStep, ma.columnStep},
                           {right, mb.rowStep, mb.columnStep}, {to, mc.columns, bias != nullptr});
        } else {
            const GemmSide sideA = sideOf(ma), sideB = sideOf(mb);
            onednn::sgemm(sideA.transpose, sideB.transpose, mc.rows, mc.columns, ma.columns, 1, left,
                          sideA.leading, right, sideB.leading, bias ? 1 : 0, to, mc.columns);
        }
    };
    // Many small products: one thread each. Few: the team works inside each.
    if (batches >= 4 && work < 1 << 18) {
        parallelFor(batches, std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(work, 1)),
                    [&](int64_t begin, int64_t end) {
                        for (int64_t i = begin; i < end; i++) one(i);
                    });
    } else {
        for (int64_t i = 0; i < batches; i++) one(i);
    }
}

// Dtypes that have no fast product: double precision for checks, integers, float16.
template <typename T>
void multiplyPlain(const View& c, const View& a, const View& b, const View* bias) {
    using C = std::conditional_t<std::is_floating_point_v<Compute<T>>, Compute<T>, int64_t>;
    const Matrix ma(a), mb(b), mc(c);
    const Dims batch = batchOf(c);
    const int64_t rows = numelOf(batch) * mc.rows;
    parallelFor(
        rows, std::max<int64_t>(1, kGrain / std::max<int64_t>(mc.columns * ma.columns, 1)),
        [&](int64_t begin, int64_t end) {
            std::vector<C> sums(static_cast<size_t>(mc.columns));
            for (int64_t index = begin; index < end; index++) {
                const int64_t block = index / mc.rows, row = index % mc.rows;
                const T* x = a.as<const T>() + batchOffset(a, batch, block) + row * ma.rowStep;
                const T* y = b.as<const T>() + batchOffset(b, batch, block);
                T* target = c.as<T>() + batchOffset(c, batch, block) + row * mc.columns;
                for (int64_t j = 0; j < mc.columns; j++)
                    sums[static_cast<size_t>(j)] = bias ? static_cast<C>(bias->as<const T>()[j]) : C{};
                for (int64_t k = 0; k < ma.columns; k++) {
                    const C factor = static_cast<C>(x[k * ma.columnStep]);
                    const T* line = y + k * mb.rowStep;
                    for (int64_t j = 0; j < mc.columns; j++) {
                        sums[static_cast<size_t>(j)] += factor * static_cast<C>(line[j * mb.columnStep]);
                    }
                }
                for (int64_t j = 0; j < mc.columns; j++)
                    target[j] = static_cast<T>(sums[static_cast<size_t>(j)]);
            }
        });
}

struct MatmulEntry {
    dnnl::matmul primitive;
    dnnl::memory a, b, c, bias, scratchpad;
};

dnnl::memory::desc describeMatrix(const View& view) {
    return dnnl::memory::desc(dnnl::memory::dims(view.sizes.begin(), view.sizes.end()),
                              onednn::dataType(view.dtype),
                              dnnl::memory::dims(view.strides.begin(), view.strides.end()));
}

void multiplyBFloat16(const View& c, const View& a, const View& b, const View* bias) {
    thread_local onednn::Cache<MatmulEntry> cache;
    onednn::Key key{omp_get_max_threads(), bias != nullptr};
    for (const View* view : {&a, &b, &c}) {
        key.insert(key.end(), view->sizes.begin(), view->sizes.end());
        key.insert(key.end(), view->strides.begin(), view->strides.end());
    }
    MatmulEntry& entry = cache.get(key, [&] {
        dnnl::memory::dims rowDims(static_cast<size_t>(c.dims()), 1);
        rowDims.back() = c.sizes[c.dims() - 1];
        const dnnl::memory::dims rowSteps(rowDims.size(), 1);
        const dnnl::memory::desc row(rowDims, onednn::dataType(c.dtype), rowSteps);
        const auto descriptor = onednn::matmulDescriptor(describeMatrix(a), describeMatrix(b),
                                                         describeMatrix(c), bias ? &row : nullptr);
        const auto memory = [](const dnnl::memory::desc& description) {
            return dnnl::memory(description, onednn::engine(), nullptr);
        };
        return std::make_unique<MatmulEntry>(MatmulEntry{dnnl::matmul(descriptor), memory(describeMatrix(a)),
                                                         memory(describeMatrix(b)), memory(describeMatrix(c)),
                                                         memory(row), memory(descriptor.scratchpad_desc())});
    });
    entry.a.set_data_handle(a.data);
    entry.b.set_data_handle(b.data);
    entry.c.set_data_handle(c.data);
    entry.scratchpad.set_data_handle(scratch(0, entry.scratchpad.get_desc().get_size()));
    std::unordered_map<int, dnnl::memory> arguments{{DNNL_ARG_SRC, entry.a},
                                                    {DNNL_ARG_WEIGHTS, entry.b},
                                                    {DNNL_ARG_DST, entry.c},
                                                    {DNNL_ARG_SCRATCHPAD, entry.scratchpad}};
    if (bias) {
        entry.bias.set_data_handle(bias->data);
        arguments.emplace(DNNL_ARG_BIAS, entry.bias);
    }
    entry.primitive.execute(onednn::stream(), arguments);
    onednn::stream().wait();
}

}  // namespace

void matmul(Context& context, const View& c, const View& a, const View& b, const View* bias) {
    const bool withBias = bias != nullptr;
    context.enqueue("matmul", [=, biasView = bias ? *bias : View{}] {
        const View* biasPointer = withBias ? &biasView : nullptr;
        if (c.numel() == 0) return;
        if (a.sizes[a.dims() - 1] == 0) {
            dispatchAll(c.dtype, [&](auto tag) {
                using T = typename decltype(tag)::type;
                if (biasPointer) {
                    spreadBias<T>(c, *biasPointer);
                } else {
                    std::fill_n(c.as<T>(), c.numel(), T{});
                }
            });
        } else if (c.dtype == DType::Float32) {
            multiplyFloat(c, a, b, biasPointer);
        } else if (c.dtype == DType::BFloat16 && onednn::hasBFloat16()) {
            multiplyBFloat16(c, a, b, biasPointer);
        } else {
            dispatchAll(c.dtype,
                        [&](auto tag) { multiplyPlain<typename decltype(tag)::type>(c, a, b, biasPointer); });
        }
    });
}

}  // namespace anneal::cpu
