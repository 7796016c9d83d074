// Optimizer steps over all parameters of a group in one kernel. Pointers, sizes and everything that changes
// from step to step (learning rate, bias corrections) lie in the device's memory, so that a step that was
// captured once can be replayed with other values. Formulas and the order of operations are those of
// native/cpu/optimizer.cpp.
#include <cstring>
#include <vector>

#include "cuda/collective.h"
#include "cuda/submit.h"

namespace anneal::cuda {

namespace {

using cpu::StepItem;

constexpr int64_t kPiece = 2048;  // elements of one parameter that a block updates

struct Piece {
    int item, number;  // the elements of `item` from number * kPiece on

    __device__ int64_t begin() const { return static_cast<int64_t>(number) * kPiece; }
    __device__ int64_t end(int64_t numel) const {
        return numel < begin() + kPiece ? numel : begin() + kPiece;
    }
};

// Both forms of weight decay; `scale` is 1 - lr * strength when decoupled.
template <typename C>
struct Decay {
    C scale, strength;
    __device__ Decay(const cpu::WeightDecay& decay, double lr)
        : scale(static_cast<C>(decay.decoupled ? 1 - lr * decay.strength : 1)),
          strength(static_cast<C>(decay.decoupled ? 0 : decay.strength)) {}
    __device__ void apply(C& param, C& grad) const {
        param *= scale;
        grad += strength * param;
    }
};

template <typename T>
struct Element {
    const StepItem& item;
    int64_t i;
    using C = Compute<T>;
    __device__ C param() const { return toCompute(static_cast<const T*>(item.param)[i]); }
    __device__ C grad() const { return toCompute(static_cast<const T*>(item.grad)[i]); }
    __device__ void setParam(C value) const { static_cast<T*>(item.param)[i] = fromCompute<T>(value); }
    __device__ bool has(int state) const { return item.states[state] != nullptr; }
    __device__ C state(int k) const { return toCompute(static_cast<const T*>(item.states[k])[i]); }
    __device__ void setState(int k, C value) const {
        static_cast<T*>(item.states[k])[i] = fromCompute<T>(value);
    }
};

template <typename T>
__device__ void update(const Element<T>& e, const cpu::SgdOptions& options) {
    using C = Compute<T>;
    const Decay<C> decay(options.decay, options.lr);
    const C step = static_cast<C>(-options.lr);
    C p = e.param(), g = e.grad();
    decay.apply(p, g);
    if (!e.has(0)) return e.setParam(p + step * g);
    // The first step fills the buffer with the gradient itself, without dampening.
    const bool first = e.item.factors[0] != 0;
    const C keep = static_cast<C>(first ? 0 : options.momentum),
            take = static_cast<C>(first ? 1 : 1 - options.dampening);
    // What lies in the buffer before its first step means nothing, not even zero times.
    const C velocity = (first ? C(0) : e.state(0) * keep) + take * g;
    e.setState(0, velocity);
    const C ahead = static_cast<C>(options.nesterov ? options.momentum : 1);
    const C direct = static_cast<C>(options.nesterov ? 1 : 0);
    e.setParam(p + step * (direct * g + ahead * velocity));
}

template <typename T>
__device__ void update(const Element<T>& e, const cpu::AdamOptions& options) {
    using C = Compute<T>;
    const Decay<C> decay(options.decay, options.lr);
    const C step = static_cast<C>(-options.lr / e.item.factors[0]),
            correction = static_cast<C>(e.item.factors[1]);
    C p = e.param(), g = e.grad();
    decay.apply(p, g);
    const C m = e.state(0) * static_cast<C>(options.beta1) + static_cast<C>(1 - options.beta1) * g;
    C v = e.state(1) * static_cast<C>(options.beta2) + static_cast<C>(1 - options.beta2) * g * g;
    e.setState(0, m);
    e.setState(1, v);
    if (e.has(2)) {
        const C before = e.state(2);
        v = v > before || v != v ? v : before;
        e.setState(2, v);
    }
    e.setParam(p + step * m / (std::sqrt(v) / correction + static_cast<C>(options.eps)));
}

template <typename T>
__device__ void update(const Element<T>& e, const cpu::RmspropOptions& options) {
    using C = Compute<T>;
    const Decay<C> decay(options.decay, options.lr);
    const C alpha = static_cast<C>(options.alpha), rest = static_cast<C>(1 - options.alpha);
    const C step = static_cast<C>(-options.lr);
    C p = e.param(), g = e.grad();
    decay.apply(p, g);
    C v = e.state(0) * alpha + rest * g * g;
    e.setState(0, v);
    if (e.has(1)) {
        const C m = e.state(1) * alpha + rest * g;
        e.setState(1, m);
        v -= m * m;
    }
    const C root = std::sqrt(v) + static_cast<C>(options.eps);
    if (!e.has(2)) return e.setParam(p + step * g / root);
    const C velocity = e.state(2) * static_cast<C>(options.momentum) + g / root;
    e.setState(2, velocity);
    e.setParam(p + step * velocity);
}

template <typename T>
__device__ void update(const Element<T>& e, const cpu::AdagradOptions& options) {
    using C = Compute<T>;
    const Decay<C> decay(options.decay, options.lr);
    C p = e.param(), g = e.grad();
    decay.apply(p, g);
    const C total = e.state(0) + g * g;
    e.setState(0, total);
    e.setParam(p + static_cast<C>(-e.item.factors[0]) * g / (std::sqrt(total) + static_cast<C>(options.eps)));
}

// What a step reads, as it lies in the device's memory: options, items, then pieces.
template <typename Options>
struct Plan {
    const Options* options;
    const StepItem* items;
    const Piece* pieces;
    int count;
};

template <typename T, typename Options>
__device__ void stepPiece(const StepItem& item, const Piece& piece, const Options& options) {
    const int64_t end = piece.end(item.numel);
    for (int64_t i = piece.begin() + threadIdx.x; i < end; i += blockDim.x)
        update(Element<T>{item, i}, options);
}

template <typename Options>
__global__ void stepAll(Plan<Options> plan) {
    const Options options = *plan.options;
    for (int k = blockIdx.x; k < plan.count; k += gridDim.x) {
        const Piece piece = plan.pieces[k];
        const StepItem item = plan.items[piece.item];
        switch (item.dtype) {
            case DType::Float32:
                stepPiece<float>(item, piece, options);
                break;
            case DType::Float64:
                stepPiece<double>(item, piece, options);
                break;
            case DType::BFloat16:
                stepPiece<BFloat16>(item, piece, options);
                break;
            default:
                stepPiece<Float16>(item, piece, options);
                break;
        }
    }
}

// --- LAMB: moments and norms of each piece, then the trust of each parameter, then the update

template <typename T>
__device__ double lambDirection(const Element<T>& e, const cpu::LambOptions& options) {
    using C = Compute<T>;
    const C correction1 = static_cast<C>(e.item.factors[0]), correction2 = static_cast<C>(e.item.factors[1]);
    return e.state(0) / correction1 / (std::sqrt(e.state(1) / correction2) + static_cast<C>(options.eps)) +
           static_cast<C>(options.weightDecay) * e.param();
}

template <typename T>
__device__ void lambMoments(const Element<T>& e, const cpu::LambOptions& options, double (&norms)[2]) {
    using C = Compute<T>;
    const C p = e.param(), g = e.grad();
    e.setState(0, e.state(0) * static_cast<C>(options.beta1) + static_cast<C>(1 - options.beta1) * g);
    e.setState(1, e.state(1) * static_cast<C>(options.beta2) + static_cast<C>(1 - options.beta2) * g * g);
    const double u = lambDirection(e, options);
    norms[0] += static_cast<double>(p) * static_cast<double>(p);
    norms[1] += u * u;
}

template <typename T>
__device__ void lambUpdate(const Element<T>& e, const cpu::LambOptions& options, double trust) {
    using C = Compute<T>;
    e.setParam(e.param() + static_cast<C>(-options.lr * trust) * static_cast<C>(lambDirection(e, options)));
}

template <typename Body>
__device__ void withElement(const StepItem& item, int64_t i, const Body& body) {
    switch (item.dtype) {
        case DType::Float32:
            return body(Element<float>{item, i});
        case DType::Float64:
            return body(Element<double>{item, i});
        case DType::BFloat16:
            return body(Element<BFloat16>{item, i});
        default:
            return body(Element<Float16>{item, i});
    }
}

__global__ void lambNorms(Plan<cpu::LambOptions> plan, double* partial) {
    __shared__ double scratch[kThreads / kWarp];
    for (int k = blockIdx.x; k < plan.count; k += gridDim.x) {
        const Piece piece = plan.pieces[k];
        const StepItem& item = plan.items[piece.item];
        const int64_t end = piece.end(item.numel);
        double norms[2] = {};
        for (int64_t i = piece.begin() + threadIdx.x; i < end; i += blockDim.x)
            withElement(item, i, [&](const auto& e) { lambMoments(e, *plan.options, norms); });
        for (int n = 0; n < 2; n++) {
            const double sum = sumOverBlock(norms[n], scratch);
            if (threadIdx.x == 0) partial[2 * k + n] = sum;
        }
    }
}

__global__ void lambTrust(Plan<cpu::LambOptions> plan, const double* partial, double* trust, int items) {
    for (int64_t item = globalThread(); item < items; item += globalThreads()) {
        double norms[2] = {};
        for (int k = 0; k < plan.count; k++) {
            if (plan.pieces[k].item != item) continue;
            norms[0] += partial[2 * k];
            norms[1] += partial[2 * k + 1];
        }
        trust[item] = norms[0] > 0 && norms[1] > 0 ? std::sqrt(norms[0] / norms[1]) : 1;
    }
}

__global__ void lambApply(Plan<cpu::LambOptions> plan, const double* trust) {
    for (int k = blockIdx.x; k < plan.count; k += gridDim.x) {
        const Piece piece = plan.pieces[k];
        const StepItem& item = plan.items[piece.item];
        const int64_t end = piece.end(item.numel);
        for (int64_t i = piece.begin() + threadIdx.x; i < end; i += blockDim.x)
            withElement(item, i, [&](const auto& e) { lambUpdate(e, *plan.options, trust[piece.item]); });
    }
}

// The plan as bytes, and where its parts lie in them.
template <typename Options>
struct Packed {
    std::vector<char> bytes;
    size_t itemsAt, piecesAt;
    int pieces = 0, items;

    Packed(const std::vector<StepItem>& given, const Options& options)
        : items(static_cast<int>(given.size())) {
        std::vector<Piece> list;
        for (int k = 0; k < items; k++) {
            const int64_t numel = given[static_cast<size_t>(k)].numel;
            for (int64_t begin = 0; begin < numel; begin += kPiece)
                list.push_back({k, static_cast<int>(begin / kPiece)});
        }
        pieces = static_cast<int>(list.size());
        itemsAt = (sizeof(Options) + 15) / 16 * 16;
        piecesAt = itemsAt + given.size() * sizeof(StepItem);
        bytes.resize(piecesAt + list.size() * sizeof(Piece));
        std::memcpy(bytes.data(), &options, sizeof options);
        if (items > 0) std::memcpy(bytes.data() + itemsAt, given.data(), given.size() * sizeof(StepItem));
        if (pieces > 0) std::memcpy(bytes.data() + piecesAt, list.data(), list.size() * sizeof(Piece));
    }
    Plan<Options> at(const char* memory) const {
        return {reinterpret_cast<const Options*>(memory), reinterpret_cast<const StepItem*>(memory + itemsAt),
                reinterpret_cast<const Piece*>(memory + piecesAt), pieces};
    }
};

template <typename Options>
void enqueueStep(Context& context, const char* op, const std::vector<StepItem>& items,
                 const Options& options) {
    Packed<Options> packed(items, options);
    const Tensor memory = context.scratch(packed.bytes.size());
    submit(context, op,
           [packed = std::move(packed), place = static_cast<char*>(memory.data())](CudaRuntime& runtime) {
               if (packed.pieces == 0) return;
               runtime.setValue(place, packed.bytes.data(), packed.bytes.size());
               launch(stepAll<Options>, blocksFor(packed.pieces), runtime.stream(), packed.at(place));
           });
}

}  // namespace

void sgdStep(Context& context, std::vector<StepItem> items, const cpu::SgdOptions& options) {
    enqueueStep(context, "sgd_step_", items, options);
}

void adamStep(Context& context, std::vector<StepItem> items, const cpu::AdamOptions& options) {
    enqueueStep(context, "adam_step_", items, options);
}

void rmspropStep(Context& context, std::vector<StepItem> items, const cpu::RmspropOptions& options) {
    enqueueStep(context, "rmsprop_step_", items, options);
}

void adagradStep(Context& context, std::vector<StepItem> items, const cpu::AdagradOptions& options) {
    enqueueStep(context, "adagrad_step_", items, options);
}

void lambStep(Context& context, std::vector<StepItem> items, const cpu::LambOptions& options) {
    Packed<cpu::LambOptions> packed(items, options);
    const size_t norms = static_cast<size_t>(2 * packed.pieces), trusts = static_cast<size_t>(packed.items);
    const Tensor memory = context.scratch(packed.bytes.size()),
                 sums = context.scratch((norms + trusts) * sizeof(double));
    submit(context, "lamb_step_",
           [packed = std::move(packed), place = static_cast<char*>(memory.data()),
            partial = static_cast<double*>(sums.data()), norms](CudaRuntime& runtime) {
               if (packed.pieces == 0) return;
               runtime.setValue(place, packed.bytes.data(), packed.bytes.size());
               const auto plan = packed.at(place);
               launchTogether(lambNorms, blocksFor(packed.pieces), runtime.stream(), plan, partial);
               launch(lambTrust, gridFor(packed.items), runtime.stream(), plan,
                      static_cast<const double*>(partial), partial + norms, packed.items);
               launch(lambApply, blocksFor(packed.pieces), runtime.stream(), plan,
                      static_cast<const double*>(partial + norms));
           });
}

}  // namespace anneal::cuda
