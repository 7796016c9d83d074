// Copying between memory orders and dtypes, filling, counting.
#include "cuda/submit.h"
#include "cuda/walk.h"

namespace anneal::cuda {

namespace {

template <typename Word>
struct Same {
    static constexpr bool kPacked = true;
    __device__ Word operator()(Word value) const { return value; }
};

template <typename To, typename From>
struct Convert {
    static constexpr bool kPacked = true;
    __device__ To operator()(From value) const { return convertTo<To, From>(value); }
};

// Any pair of dtypes, chosen inside: whole numbers travel as int64, the others as double, which holds them
// all.
struct Cell {
    bool whole;
    int64_t integer;
    double real;
};

template <typename T>
__device__ Cell cellOf(const void* from) {
    const auto value = toCompute(*static_cast<const T*>(from));
    if constexpr (std::is_integral_v<T>) {
        return {true, static_cast<int64_t>(value), 0};
    } else {
        return {false, 0, static_cast<double>(value)};
    }
}

template <typename T>
__device__ void setCell(void* to, const Cell& cell) {
    *static_cast<T*>(to) = cell.whole ? convertTo<T, int64_t>(cell.integer) : convertTo<T, double>(cell.real);
}

__device__ Cell readCell(DType dtype, const void* from) {
    switch (dtype) {
        case DType::Float32:
            return cellOf<float>(from);
        case DType::Float64:
            return cellOf<double>(from);
        case DType::BFloat16:
            return cellOf<BFloat16>(from);
        case DType::Float16:
            return cellOf<Float16>(from);
        case DType::Int64:
            return cellOf<int64_t>(from);
        case DType::Int32:
            return cellOf<int32_t>(from);
        case DType::UInt8:
            return cellOf<uint8_t>(from);
        default:
            return cellOf<bool>(from);
    }
}

__device__ void writeCell(DType dtype, void* to, const Cell& cell) {
    switch (dtype) {
        case DType::Float32:
            return setCell<float>(to, cell);
        case DType::Float64:
            return setCell<double>(to, cell);
        case DType::BFloat16:
            return setCell<BFloat16>(to, cell);
        case DType::Float16:
            return setCell<Float16>(to, cell);
        case DType::Int64:
            return setCell<int64_t>(to, cell);
        case DType::Int32:
            return setCell<int32_t>(to, cell);
        case DType::UInt8:
            return setCell<uint8_t>(to, cell);
        default:
            return setCell<bool>(to, cell);
    }
}

__global__ void convertAny(Walk<2> walk, DType to, DType from) {
    for (int64_t i = globalThread(); i < walk.numel; i += globalThreads()) {
        int64_t offset[2];
        walk.offsets(i, offset);
        writeCell(to, walk.data[0] + offset[0], readCell(from, walk.data[1] + offset[1]));
    }
}

template <typename Word>
void moveWords(const View& target, const View& source, cudaStream_t stream) {
    mapOne<Word, Word>(target, source, Same<Word>{}, stream);
}

// Words of the elements' size, whatever they mean.
void move(const View& target, const View& source, CudaRuntime& runtime) {
    const Walk<2> walk({target, source});
    if (walk.numel == 0) return;
    const size_t bytes = dtypeSize(target.dtype);
    if (walk.dense && !walk.single(1))
        return runtime.copyWithin(walk.data[0], walk.data[1], static_cast<size_t>(walk.numel) * bytes);
    switch (bytes) {
        case 1:
            return moveWords<uint8_t>(target, source, runtime.stream());
        case 2:
            return moveWords<uint16_t>(target, source, runtime.stream());
        case 4:
            return moveWords<uint32_t>(target, source, runtime.stream());
        default:
            return moveWords<uint64_t>(target, source, runtime.stream());
    }
}

template <typename To, typename From>
void convert(const View& target, const View& source, cudaStream_t stream) {
    mapOne<To, From>(target, source, Convert<To, From>{}, stream);
}

template <typename Word>
__global__ void fillWords(Walk<1> walk, Word value) {
    for (int64_t i = globalThread(); i < walk.numel; i += globalThreads()) {
        int64_t offset[1];
        walk.offsets(i, offset);
        walk.template at<Word>(0, offset[0]) = value;
    }
}

// What element `index` of a sequence is, in double as on the processor.
struct Sequence {
    enum Kind { Arange, Linspace, Eye } kind;
    double start, step;  // arange; start and end: linspace
    int64_t count, columns;

    template <typename T>
    __device__ double at(int64_t i) const {
        if (kind == Arange) return start + static_cast<double>(i) * step;
        if (kind == Eye) return i / columns == i % columns ? 1 : 0;
        using C = std::conditional_t<std::is_floating_point_v<Compute<T>>, Compute<T>, double>;
        const C first = static_cast<C>(start), last = static_cast<C>(step);
        if (count == 1) return static_cast<double>(first);
        const C by = (last - first) / static_cast<C>(count - 1);
        const C value =
            i < count / 2 ? first + by * static_cast<C>(i) : last - by * static_cast<C>(count - 1 - i);
        return static_cast<double>(value);
    }
};

// Half precision is made by instructions here.
template <typename T>
__device__ T elementInKernel(double number) {
    if constexpr (std::is_integral_v<T>) {
        return elementOf<T>(number);
    } else {
        return convertTo<T, double>(number);
    }
}

template <typename T>
__global__ void writeSequence(T* out, int64_t count, Sequence sequence) {
    for (int64_t i = globalThread(); i < count; i += globalThreads())
        out[i] = elementInKernel<T>(sequence.template at<T>(i));
}

void enqueueSequence(Context& context, const char* op, const View& target, const Sequence& sequence) {
    submit(context, op, [=](CudaRuntime& runtime) {
        const int64_t count = target.numel();
        if (count == 0) return;
        dispatchAll(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            launch(writeSequence<T>, gridFor(count), runtime.stream(), target.as<T>(), count, sequence);
        });
    });
}

struct ChannelScale {
    float scale[8], shift[8];
};

__global__ void normalizeBytes(float* out, const uint8_t* bytes, int64_t count, int channels,
                               ChannelScale table) {
    for (int64_t i = globalThread(); i < count; i += globalThreads()) {
        const int c = static_cast<int>(i % channels);
        out[i] = fmaf(static_cast<float>(bytes[i]), table.scale[c], table.shift[c]);
    }
}

}  // namespace

void copy(Context& context, const View& target, const View& source) {
    submit(context, "copy", [=](CudaRuntime& runtime) {
        const DType to = target.dtype, from = source.dtype;
        const auto is = [&](DType a, DType b) { return to == a && from == b; };
        if (to == from) return move(target, source, runtime);
        // The conversions of training, one kernel each.
        if (is(DType::BFloat16, DType::Float32))
            return convert<BFloat16, float>(target, source, runtime.stream());
        if (is(DType::Float32, DType::BFloat16))
            return convert<float, BFloat16>(target, source, runtime.stream());
        if (is(DType::Float16, DType::Float32))
            return convert<Float16, float>(target, source, runtime.stream());
        if (is(DType::Float32, DType::Float16))
            return convert<float, Float16>(target, source, runtime.stream());
        if (is(DType::Float32, DType::UInt8))
            return convert<float, uint8_t>(target, source, runtime.stream());
        const Walk<2> walk({target, source});
        if (walk.numel > 0) launch(convertAny, gridFor(walk.numel), runtime.stream(), walk, to, from);
    });
}

void fill(Context& context, const View& target, double value) {
    submit(context, "fill", [=](CudaRuntime& runtime) {
        const Walk<1> walk({target});
        if (walk.numel == 0) return;
        dispatchAll(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            launch(fillWords<T>, gridFor(walk.numel), runtime.stream(), walk, elementOf<T>(value));
        });
    });
}

void arange(Context& context, const View& target, double start, double step) {
    enqueueSequence(context, "arange", target, {Sequence::Arange, start, step, 0, 1});
}

void linspace(Context& context, const View& target, double start, double end) {
    enqueueSequence(context, "linspace", target, {Sequence::Linspace, start, end, target.numel(), 1});
}

void eye(Context& context, const View& target) {
    enqueueSequence(context, "eye", target, {Sequence::Eye, 0, 0, 0, std::max<int64_t>(target.sizes[1], 1)});
}

void normalizeImages(Context& context, const View& out, const View& bytes, std::vector<double> scale,
                     std::vector<double> shift) {
    ChannelScale table = {};
    const auto channels = static_cast<int>(scale.size());
    CHECK(channels <= 8, ErrorKind::Shape, "normalizeImages: at most 8 channels on CUDA, got ", channels);
    for (int c = 0; c < channels; c++) {
        table.scale[c] = static_cast<float>(scale[static_cast<size_t>(c)]);
        table.shift[c] = static_cast<float>(shift[static_cast<size_t>(c)]);
    }
    submit(context, "normalize_images", [=](CudaRuntime& runtime) {
        const int64_t count = out.numel();
        if (count == 0) return;
        launch(normalizeBytes, gridFor(count), runtime.stream(), out.as<float>(), bytes.as<const uint8_t>(),
               count, channels, table);
    });
}

}  // namespace anneal::cuda
