#pragma once

#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/context.h"

namespace anneal {

// How arguments cross from the caller: a flat array of numbers with a kind for each argument, so that a call
// costs no conversion of objects and a wrong argument is an error instead of a wild pointer.
enum class ArgKind : uint8_t { Number = 1, Tensor = 2, None = 3, Numbers = 4, Tensors = 5, Bool = 6 };

// A tensor or a plain number, as in `x.add(y)` and `x.add(2)`.
struct Operand {
    enum class Category : uint8_t { Bool, Integer, Floating };
    std::optional<Tensor> tensor;
    double number = 0;
    Category category =
        Category::Floating;  // a number without fraction keeps integer tensors integer, as in PyTorch
};

// A tensor that the op reads, and of which it may keep a form of its own with the storage (`Derived`).
struct Weights {
    Tensor tensor;
};

class TensorTable {
  public:
    virtual ~TensorTable() = default;
    virtual const Tensor& get(double handle) const = 0;
};

class ArgReader {
  public:
    // `slots`: how many values and kinds there are. Whatever they say, nothing else is read.
    ArgReader(const char* op, const double* values, const uint8_t* kinds, size_t slots, int count,
              const TensorTable& tensors)
        : op_(op),
          values_(values),
          kinds_(kinds),
          slots_(static_cast<int>(slots)),
          remaining_(count),
          tensors_(tensors) {}

    Tensor tensor();
    Weights weights();
    std::optional<Tensor> optionalTensor();
    Operand operand();
    double number();
    int64_t integer();
    bool boolean();
    Dims dims();
    std::vector<double> numbers();
    TensorList tensors();
    DType dtype();
    std::optional<double> optionalNumber();
    void finish() const;

    // Holds on to the memory of the tensors that are read.
    void keepFor(Recording* recording) { recording_ = recording; }

    // The one device of the tensors read so far. What the caller asked for counts where there are none.
    Device device(Device asked) const { return seen_ ? device_ : asked; }
    void requireOneDevice() const { CHECK_DEVICE(!mixed_, mixedMessage()); }

  private:
    // Any op may write to a tensor that it is given.
    const Tensor& note(const Tensor& tensor) {
        tensor.storage()->forgetDerived();
        return noteUnchanged(tensor);
    }
    const Tensor& noteUnchanged(const Tensor& tensor) {
        if (__builtin_expect(recording_ != nullptr, 0)) keep(tensor);
        if (!seen_) {
            seen_ = true;
            device_ = tensor.device();
        } else if (tensor.device() != device_ && !mixed_) {
            mixed_ = true;
            other_ = tensor.device();
        }
        return tensor;
    }
    void keep(const Tensor& tensor) const;
    std::string mixedMessage() const;
    ArgKind next(ArgKind wanted, const char* description);
    ArgKind peek();
    double take() { return values_[position_++]; }
    int listLength(ArgKind kind);
    int64_t toInteger(double value) const;

    const char* op_;
    const double* values_;
    const uint8_t* kinds_;
    int slots_;
    int remaining_;
    const TensorTable& tensors_;
    int position_ = 0;
    bool seen_ = false, mixed_ = false;
    Device device_, other_;
    Recording* recording_ = nullptr;
};

// `device`: where an op without tensors among its arguments makes its result.
using OpFunction = void (*)(const char* name, Context&, Device device, ArgReader&, TensorList& results);

struct OpEntry {
    const char* name;
    OpFunction run;
};

// All ops, in the order of their numbers.
const std::vector<OpEntry>& opTable();

namespace detail {

template <typename T>
struct Read;
template <>
struct Read<Tensor> {
    static Tensor from(ArgReader& args) { return args.tensor(); }
};
template <>
struct Read<Weights> {
    static Weights from(ArgReader& args) { return args.weights(); }
};
template <>
struct Read<std::optional<Tensor>> {
    static std::optional<Tensor> from(ArgReader& args) { return args.optionalTensor(); }
};
template <>
struct Read<Operand> {
    static Operand from(ArgReader& args) { return args.operand(); }
};
template <>
struct Read<double> {
    static double from(ArgReader& args) { return args.number(); }
};
template <>
struct Read<std::optional<double>> {
    static std::optional<double> from(ArgReader& args) { return args.optionalNumber(); }
};
template <>
struct Read<int64_t> {
    static int64_t from(ArgReader& args) { return args.integer(); }
};
template <>
struct Read<bool> {
    static bool from(ArgReader& args) { return args.boolean(); }
};
template <>
struct Read<Dims> {
    static Dims from(ArgReader& args) { return args.dims(); }
};
template <>
struct Read<std::vector<double>> {
    static std::vector<double> from(ArgReader& args) { return args.numbers(); }
};
template <>
struct Read<TensorList> {
    static TensorList from(ArgReader& args) { return args.tensors(); }
};
template <>
struct Read<DType> {
    static DType from(ArgReader& args) { return args.dtype(); }
};

inline void store(TensorList& results, Tensor value) { results.push_back(std::move(value)); }
inline void store(TensorList& results, TensorList values) {
    for (Tensor& value : values) results.push_back(std::move(value));
}

// Ops that copy between devices; all others take tensors of one.
template <auto Function>
constexpr bool kSpansDevices = false;

// Turns `Tensor conv2d(Context&, Tensor, Tensor, Dims, …)` into an OpFunction by reading each parameter by
// its type.
template <auto Function>
struct Wrap;
template <typename Result, typename... Params, Result (*Function)(Context&, Params...)>
struct Wrap<Function> {
    static void run(const char*, Context& context, Device device, ArgReader& args, TensorList& results) {
        // Braces fix the order of evaluation to that of the parameters.
        std::tuple<std::decay_t<Params>...> values{Read<std::decay_t<Params>>::from(args)...};
        args.finish();
        if constexpr (!kSpansDevices<Function>) args.requireOneDevice();
        context.setDevice(args.device(device));
        if constexpr (std::is_void_v<Result>) {
            std::apply([&](auto&... unpacked) { Function(context, unpacked...); }, values);
        } else {
            store(results,
                  std::apply([&](auto&... unpacked) { return Function(context, unpacked...); }, values));
        }
    }
};

}  // namespace detail

}  // namespace anneal
