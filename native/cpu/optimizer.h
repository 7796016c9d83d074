#pragma once

#include <vector>

#include "core/context.h"

// Optimizer steps over all parameters of a group at once. Formulas and the order of operations are PyTorch's.
namespace anneal::cpu {

// One parameter. All pointers lie in the same dense memory order and have the same dtype.
struct StepItem {
    DType dtype;
    int64_t numel;
    void* param;
    const void* grad;
    void* states[3];  // what each optimizer keeps, in the order of its op's lists; null where a list is empty
    double factors[2];  // what differs from parameter to parameter, such as bias corrections
};

struct WeightDecay {
    double strength;
    bool decoupled;  // param *= 1 - lr * strength first; otherwise grad += strength * param
};

// states: momentum buffer. factors: 1 at the buffer's first step.
struct SgdOptions {
    double lr;
    WeightDecay decay;
    double momentum, dampening;
    bool nesterov;
};
void sgdStep(Context& context, std::vector<StepItem> items, const SgdOptions& options);

// states: mean of gradients, of squares, largest mean of squares (amsgrad). factors: the two bias
// corrections, 1 - beta1^t and the root of 1 - beta2^t.
struct AdamOptions {
    double lr;
    WeightDecay decay;
    double beta1, beta2, eps;
};
void adamStep(Context& context, std::vector<StepItem> items, const AdamOptions& options);

// states: mean of squares, mean of gradients (centred), momentum buffer.
struct RmspropOptions {
    double lr;
    WeightDecay decay;
    double alpha, eps, momentum;
};
void rmspropStep(Context& context, std::vector<StepItem> items, const RmspropOptions& options);

// states: sum of squares. factors: the decayed learning rate.
struct AdagradOptions {
    double lr;
    WeightDecay decay;
    double eps;
};
void adagradStep(Context& context, std::vector<StepItem> items, const AdagradOptions& options);

// states: mean of gradients, of squares. factors: as adamStep, the second without root.
struct LambOptions {
    double lr;
    double weightDecay;
    double beta1, beta2, eps;
};
void lambStep(Context& context, std::vector<StepItem> items, const LambOptions& options);

}  // namespace anneal::cpu
