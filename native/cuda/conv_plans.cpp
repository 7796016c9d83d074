// Convolutions in the words of cuDNN's graph API: a graph of one operation, the engines that its heuristics
// name for it, and plans made of those that compute as they should.
#include "cuda/conv_plans.h"

#include <algorithm>

#include "core/error.h"

namespace anneal::cuda {

namespace {

using dnn::Node;

constexpr int64_t kMostConfigs = 64;  // of one heuristic
constexpr size_t kMostPlans = 10;     // the rest is seldom faster, and each takes time to look at
enum Identifier : int64_t { kX = 'x', kW = 'w', kY = 'y' };

dnn::DataType dataType(DType dtype) {
    switch (dtype) {
        case DType::BFloat16:
            return dnn::kBFloat16;
        case DType::Float16:
            return dnn::kFloat16;
        default:
            return dnn::kFloat32;
    }
}

// Channels-last, as pictures and weights lie.
Node tensorNode(const int64_t (&sizes)[4], DType dtype, int64_t alignment, int64_t identifier) {
    const int64_t strides[4] = {sizes[1] * sizes[2] * sizes[3], 1, sizes[3] * sizes[1], sizes[1]};
    Node node(dnn::kTensor);
    node.set(dnn::kTensorType, dnn::kDataTypeValue, dataType(dtype))
        .set(dnn::kDimensions, dnn::kInt64, 4, sizes)
        .set(dnn::kTensorStrides, dnn::kInt64, 4, strides)
        .set(dnn::kIdentifier, dnn::kInt64, identifier)
        .set(dnn::kAlignment, dnn::kInt64, alignment);
    return std::move(node.finish());
}

Node convolutionNode(const ConvShape& p) {
    Node node(dnn::kConvolution);
    node.set(dnn::kSpatialDims, dnn::kInt64, int64_t{2})
        .set(dnn::kComputeType, dnn::kDataTypeValue, dnn::kFloat32)
        .set(dnn::kConvolutionModeOf, dnn::kConvolutionMode, dnn::kCrossCorrelation)
        .set(dnn::kPaddingsBefore, dnn::kInt64, 2, p.padding)
        .set(dnn::kPaddingsAfter, dnn::kInt64, 2, p.padding)
        .set(dnn::kDilations, dnn::kInt64, 2, p.dilation)
        .set(dnn::kStrides, dnn::kInt64, 2, p.stride);
    return std::move(node.finish());
}

Node operationNode(ConvDirection direction, const Node& convolution, const Node& x, const Node& w,
                   const Node& y) {
    const bool forward = direction == ConvDirection::Forward,
               input = direction == ConvDirection::BackwardInput;
    const int first = forward ? dnn::kOfForward : input ? dnn::kOfBackwardInput : dnn::kOfBackwardWeight;
    const auto at = [first](int offset) { return static_cast<dnn::Attribute>(first + offset); };
    Node node(forward ? dnn::kForward : input ? dnn::kBackwardInput : dnn::kBackwardWeight);
    node.set(at(0), dnn::kFloat, 1.0f).set(at(1), dnn::kFloat, 0.0f);
    node.set(at(2), convolution).set(at(3), w).set(at(4), x).set(at(5), y);
    return std::move(node.finish());
}

std::vector<Node> configsOf(const Node& graph, dnn::HeuristicMode mode) {
    Node heuristics(dnn::kHeuristics);
    heuristics.set(dnn::kHeuristicGraph, graph)
        .set(dnn::kHeuristicModeOf, dnn::kHeuristicMode, mode)
        .finish();
    std::vector<Node> configs;
    if (!heuristics.good()) return configs;
    const int64_t count =
        std::min(heuristics.get(dnn::kHeuristicResults, dnn::kDescriptor, 0, nullptr), kMostConfigs);
    std::vector<dnn::Descriptor> places;
    for (int64_t i = 0; i < count; i++) {
        configs.emplace_back(dnn::kEngineConfig);
        places.push_back(configs.back().get());
    }
    const int64_t found = heuristics.get(dnn::kHeuristicResults, dnn::kDescriptor, count, places.data());
    configs.resize(static_cast<size_t>(std::clamp<int64_t>(found, 0, static_cast<int64_t>(configs.size()))));
    return configs;
}

// False where the library does not tell.
template <typename Note>
bool readNotes(const Node& engine, dnn::Attribute attribute, dnn::ValueType type, std::vector<Note>& notes) {
    constexpr int64_t kMostNotes = 32;
    notes.resize(kMostNotes);
    const int64_t count = engine.get(attribute, type, kMostNotes, notes.data());
    notes.resize(static_cast<size_t>(std::clamp<int64_t>(count, 0, kMostNotes)));
    return count >= 0;
}

// Whether an engine computes as it should; `deterministic` is whether it gives the same bits each time.
bool keepsTo(const Problem& problem, const Node& config, bool& deterministic) {
    Node engine(dnn::kEngine);
    dnn::Descriptor place = engine.get();
    deterministic = false;
    if (config.get(dnn::kConfigEngine, dnn::kDescriptor, 1, &place) < 1) return false;
    std::vector<dnn::NumericalNote> numerical;
    if (!readNotes(engine, dnn::kEngineNumericalNotes, dnn::kNumericalNote, numerical)) return false;
    std::vector<dnn::BehaviorNote> behavior;  // older versions have none
    readNotes(engine, dnn::kEngineBehaviorNotes, dnn::kBehaviorNote, behavior);
    const auto has = [&](dnn::NumericalNote note) {
        return std::find(numerical.begin(), numerical.end(), note) != numerical.end();
    };
    deterministic = !has(dnn::kNondeterministic);
    // Compiling takes seconds for each shape, for what others do as fast.
    if (std::find(behavior.begin(), behavior.end(), dnn::kCompilesAtRunTime) != behavior.end()) return false;
    if (has(dnn::kReducedPrecision) || has(dnn::kFourier) || has(dnn::kWinograd6) || has(dnn::kWinograd13))
        return false;
    if (problem.dtype != DType::Float32 || problem.tf32) return true;
    return !has(dnn::kTensorCore) && !has(dnn::kDownConverts);
}

}  // namespace

dnn::Status ConvPlan::run(dnn::Handle handle, CudaRuntime& runtime, void* x, void* w, void* y) {
    void* const workspace = workspaceBytes_ > 0 ? runtime.workspace(workspaceBytes_) : nullptr;
    void* const pointers[4] = {x, w, y, workspace};
    if (!pack_.good() || !std::equal(pointers, pointers + 4, packed_)) {
        constexpr int64_t kIdentifiers[3] = {kX, kW, kY};
        Node pack(dnn::kVariantPack);
        pack.set(dnn::kPackPointers, dnn::kPointer, 3, pointers)
            .set(dnn::kPackIdentifiers, dnn::kInt64, 3, kIdentifiers)
            .set(dnn::kPackWorkspace, dnn::kPointer, workspace)
            .finish();
        if (!pack.good()) return pack.status();
        pack_ = std::move(pack);
        std::copy(pointers, pointers + 4, packed_);
    }
    return dnn::functions().execute(handle, plan_.get(), pack_.get());
}

std::vector<std::unique_ptr<ConvPlan>> convPlans(dnn::Handle handle, const Problem& problem) {
    const ConvShape& shape = problem.shape;
    if (std::max({elements(shape.input), elements(shape.weight), elements(shape.output)}) > kMostElements)
        return {};
    const Node x = tensorNode(problem.shape.input, problem.dtype, problem.alignment, kX),
               w = tensorNode(problem.shape.weight, problem.dtype, problem.alignment, kW),
               y = tensorNode(problem.shape.output, problem.dtype, problem.alignment, kY),
               convolution = convolutionNode(problem.shape),
               operation = operationNode(problem.direction, convolution, x, w, y);
    Node graph(dnn::kGraph);
    graph.set(dnn::kGraphHandle, dnn::kHandleValue, handle).set(dnn::kGraphOps, operation).finish();
    std::vector<std::unique_ptr<ConvPlan>> plans;
    for (const Node* node : {&x, &w, &y, &convolution, &operation, static_cast<const Node*>(&graph)}) {
        if (node->good()) continue;
        if (!dnn::declines(node->status())) dnn::check(node->status(), "describing a convolution");
        return plans;
    }
    // Version 8.0 knows no decision tree; what is said to do at all is for where nothing quick gives the same
    // bits each time.
    size_t exact = 0, others = 0;
    for (const dnn::HeuristicMode mode : {dnn::kByDecisionTree, dnn::kInstant, dnn::kFallback}) {
        if (exact > 0) break;
        for (const Node& config : configsOf(graph, mode)) {
            bool deterministic;
            if (!keepsTo(problem, config, deterministic)) continue;
            size_t& count = deterministic ? exact : others;
            if (count == kMostPlans) continue;
            Node plan(dnn::kPlan);
            plan.set(dnn::kPlanHandle, dnn::kHandleValue, handle).set(dnn::kPlanConfig, config).finish();
            int64_t bytes = 0;
            if (!plan.good() || plan.get(dnn::kPlanWorkspace, dnn::kInt64, 1, &bytes) < 1) continue;
            if (bytes < 0 || static_cast<size_t>(bytes) > kMostWorkspace) continue;
            plans.push_back(
                std::make_unique<ConvPlan>(std::move(plan), static_cast<size_t>(bytes), deterministic));
            count++;
        }
    }
    return plans;
}

}  // namespace anneal::cuda
