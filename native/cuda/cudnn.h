#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

// As much of the graph API of cuDNN (its versions 8 and 9, where the names begin with cudnnBackend) as is
// used here, declared by hand: its headers need not be installed where anneal is built.
namespace anneal::cuda::dnn {

using Handle = struct DnnContext*;
using Descriptor = void*;

enum Status : int { kSuccess = 0 };
enum DataType : int { kFloat32 = 0, kFloat64 = 1, kFloat16 = 2, kBFloat16 = 9 };
enum Mode : int { kCrossCorrelation = 1 };
enum HeuristicMode : int { kInstant = 0, kFallback = 2, kByDecisionTree = 3 };

// What an engine is said to do with numbers.
enum NumericalNote : int {
    kTensorCore = 0,
    kDownConverts = 1,
    kReducedPrecision = 2,
    kFourier = 3,
    kNondeterministic = 4,
    kWinograd6 = 7,
    kWinograd13 = 8
};
enum BehaviorNote : int { kCompilesAtRunTime = 0 };

enum Kind : int {
    kConvolution = 1,
    kEngine = 2,
    kEngineConfig = 3,
    kHeuristics = 4,
    kPlan = 5,
    kForward = 10,
    kBackwardWeight = 11,
    kBackwardInput = 12,
    kGraph = 15,
    kVariantPack = 16,
    kTensor = 17
};

enum ValueType : int {
    kHandleValue = 0,
    kDataTypeValue = 1,
    kInt64 = 3,
    kFloat = 4,
    kPointer = 6,
    kConvolutionMode = 7,
    kHeuristicMode = 8,
    kNumericalNote = 11,
    kDescriptor = 15,
    kBehaviorNote = 19
};

enum Attribute : int {
    kComputeType = 100,
    kConvolutionModeOf = 101,
    kDilations = 102,
    kStrides = 103,
    kPaddingsAfter = 104,
    kPaddingsBefore = 105,
    kSpatialDims = 106,
    kHeuristicModeOf = 200,
    kHeuristicGraph = 201,
    kHeuristicResults = 202,
    kConfigEngine = 300,
    kPlanHandle = 400,
    kPlanConfig = 401,
    kPlanWorkspace = 402,
    // Six each: alpha, beta, convolution, weight, input, output.
    kOfForward = 700,
    kOfBackwardInput = 706,
    kOfBackwardWeight = 712,
    kGraphHandle = 800,
    kGraphOps = 801,
    kAlignment = 900,
    kTensorType = 901,
    kDimensions = 902,
    kTensorStrides = 903,
    kIdentifier = 906,
    kPackIdentifiers = 1000,
    kPackPointers = 1001,
    kPackWorkspace = 1003,
    kEngineNumericalNotes = 1303,
    kEngineBehaviorNotes = 1305
};

struct Functions {
    size_t (*version)();
    const char* (*errorString)(Status);
    Status (*create)(Handle*);
    Status (*destroy)(Handle);
    Status (*setStream)(Handle, cudaStream_t);
    Status (*createDescriptor)(Kind, Descriptor*);
    Status (*destroyDescriptor)(Descriptor);
    Status (*finalize)(Descriptor);
    Status (*setAttribute)(Descriptor, Attribute, ValueType, int64_t count, const void* values);
    Status (*getAttribute)(Descriptor, Attribute, ValueType, int64_t asked, int64_t* count, void* values);
    Status (*execute)(Handle, Descriptor plan, Descriptor variantPack);
};

// Opens the library when first called; throws a DeviceError where it is missing or too old.
const Functions& functions();

void check(Status status, const char* what);

// Whether it means that the library does not do this, and not that something went wrong.
bool declines(Status status);

// A descriptor of the library's, which lives as long as this. What cannot be set or finished is remembered
// until somebody asks: a library that declines does so at any of these.
class Node {
  public:
    Node() = default;
    explicit Node(Kind kind);
    Node(Node&& other) noexcept
        : descriptor_(std::exchange(other.descriptor_, nullptr)), status_(other.status_) {}
    Node& operator=(Node&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        status_ = other.status_;
        return *this;
    }
    ~Node();

    Node& set(Attribute attribute, ValueType type, int64_t count, const void* values);
    template <typename T>
    Node& set(Attribute attribute, ValueType type, const T& value) {
        return set(attribute, type, 1, &value);
    }
    Node& set(Attribute attribute, const Node& node) { return set(attribute, kDescriptor, node.descriptor_); }
    Node& finish();
    // How many there are, which may be more than `asked`; -1 where the library does not tell.
    int64_t get(Attribute attribute, ValueType type, int64_t asked, void* values) const;

    bool good() const { return descriptor_ && status_ == kSuccess; }
    Status status() const { return status_; }
    Descriptor get() const { return descriptor_; }

  private:
    Descriptor descriptor_ = nullptr;
    Status status_ = kSuccess;
};

}  // namespace anneal::cuda::dnn
