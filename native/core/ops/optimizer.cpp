// Optimizer steps: one call updates all parameters of a group.
#include <cmath>

#include "core/kernels.h"
#include "core/ops.h"

namespace anneal::ops {

namespace {

bool sameOrder(const Tensor& a, const Tensor& b) {
    for (int i = 0; i < a.dims(); i++) {
        if (a.size(i) != 1 && a.strides()[i] != b.strides()[i]) return false;
    }
    return true;
}

// Checks the lists against each other and brings what lies in another memory order than its parameter into
// that order. Working copies of what is updated are written back by finish().
class StepGroup {
  public:
    StepGroup(Context& context, const char* op, const TensorList& params, const TensorList& grads,
              std::initializer_list<const TensorList*> states)
        : context_(context), op_(op) {
        checkCount("gradients", grads.size(), params.size());
        for (const TensorList* list : states) {
            if (!list->empty()) checkCount("states", list->size(), params.size());
        }
        items_.reserve(params.size());
        for (size_t k = 0; k < params.size(); k++) {
            const Tensor& given = params[k];
            CHECK_DTYPE(isFloating(given.dtype()), op, ": expected floating parameters, got ",
                        describe(given));
            const bool dense = given.isDense();
            const Tensor param = dense ? given : clone(context, given);
            if (!dense) remember(given, param);
            cpu::StepItem item{param.dtype(), param.numel(), param.data(), nullptr, {}, {}};
            item.grad = inOrderOf(param, grads[k], false).data();
            size_t s = 0;
            for (const TensorList* list : states) {
                if (!list->empty()) item.states[s] = inOrderOf(param, (*list)[k], true).data();
                s++;
            }
            items_.push_back(item);
        }
    }

    size_t size() const { return items_.size(); }
    cpu::StepItem& operator[](size_t k) { return items_[k]; }
    std::vector<cpu::StepItem> take() { return std::move(items_); }

    void checkCount(const char* what, size_t count, size_t wanted) const {
        CHECK_SHAPE(count == wanted, op_, ": ", wanted, " parameters, but ", count, " ", what);
    }

    // After the kernel has been enqueued.
    void finish() {
        for (const auto& [target, copy] : written_) copy_(context_, target, copy);
    }

  private:
    Tensor inOrderOf(const Tensor& param, const Tensor& tensor, bool written) {
        CHECK_SHAPE(tensor.sizes() == param.sizes(), op_, ": a parameter of shape ", param.sizes().toString(),
                    " goes with a tensor of shape ", tensor.sizes().toString());
        CHECK_DTYPE(tensor.dtype() == param.dtype(), op_, ": a parameter of ", dtypeName(param.dtype()),
                    " goes with a tensor of ", dtypeName(tensor.dtype()));
        if (sameOrder(param, tensor)) return tensor;
        Tensor copy = context_.emptyLike(param);
        copy_(context_, copy, tensor);
        if (written) {
            remember(tensor, copy);
        } else {
            kept_.push_back(copy);
        }
        return copy;
    }

    void remember(const Tensor& target, const Tensor& copy) { written_.emplace_back(target, copy); }

    Context& context_;
    const char* op_;
    std::vector<cpu::StepItem> items_;
    std::vector<std::pair<Tensor, Tensor>> written_;
    TensorList kept_;  // until the kernel has been enqueued
};

// Counts of steps, the present one included, become Adam's bias corrections.
void setBiasCorrections(StepGroup& group, const std::vector<double>& steps, double beta1, double beta2,
                        bool root) {
    group.checkCount("step counts", steps.size(), group.size());
    for (size_t k = 0; k < group.size(); k++) {
        const double correction2 = 1 - std::pow(beta2, steps[k]);
        group[k].factors[0] = 1 - std::pow(beta1, steps[k]);
        group[k].factors[1] = root ? std::sqrt(correction2) : correction2;
    }
}

}  // namespace

void sgd_step_(Context& context, const TensorList& params, const TensorList& grads, const TensorList& buffers,
               std::vector<double> isFirst, double lr, double weightDecay, bool decoupled, double momentum,
               double dampening, bool nesterov) {
    StepGroup group(context, "sgd_step_", params, grads, {&buffers});
    if (!buffers.empty()) group.checkCount("flags", isFirst.size(), group.size());
    for (size_t k = 0; k < group.size() && !buffers.empty(); k++) group[k].factors[0] = isFirst[k];
    context.kernels().sgdStep(context, group.take(),
                              {lr, {weightDecay, decoupled}, momentum, dampening, nesterov});
    group.finish();
}

void adam_step_(Context& context, const TensorList& params, const TensorList& grads, const TensorList& means,
                const TensorList& squares, const TensorList& largestSquares, std::vector<double> steps,
                double lr, double weightDecay, bool decoupled, double beta1, double beta2, double eps) {
    StepGroup group(context, "adam_step_", params, grads, {&means, &squares, &largestSquares});
    group.checkCount("first moments", means.size(), group.size());
    group.checkCount("second moments", squares.size(), group.size());
    setBiasCorrections(group, steps, beta1, beta2, true);
    context.kernels().adamStep(context, group.take(), {lr, {weightDecay, decoupled}, beta1, beta2, eps});
    group.finish();
}

void rmsprop_step_(Context& context, const TensorList& params, const TensorList& grads,
                   const TensorList& squares, const TensorList& means, const TensorList& buffers, double lr,
                   double weightDecay, bool decoupled, double alpha, double eps, double momentum) {
    StepGroup group(context, "rmsprop_step_", params, grads, {&squares, &means, &buffers});
    group.checkCount("second moments", squares.size(), group.size());
    context.kernels().rmspropStep(context, group.take(),
                                  {lr, {weightDecay, decoupled}, alpha, eps, momentum});
    group.finish();
}

void adagrad_step_(Context& context, const TensorList& params, const TensorList& grads,
                   const TensorList& sums, std::vector<double> steps, double lr, double weightDecay,
                   bool decoupled, double lrDecay, double eps) {
    StepGroup group(context, "adagrad_step_", params, grads, {&sums});
    group.checkCount("sums", sums.size(), group.size());
    group.checkCount("step counts", steps.size(), group.size());
    for (size_t k = 0; k < group.size(); k++) group[k].factors[0] = lr / (1 + (steps[k] - 1) * lrDecay);
    context.kernels().adagradStep(context, group.take(), {lr, {weightDecay, decoupled}, eps});
    group.finish();
}

void lamb_step_(Context& context, const TensorList& params, const TensorList& grads, const TensorList& means,
                const TensorList& squares, std::vector<double> steps, double lr, double weightDecay,
                double beta1, double beta2, double eps) {
    StepGroup group(context, "lamb_step_", params, grads, {&means, &squares});
    group.checkCount("first moments", means.size(), group.size());
    group.checkCount("second moments", squares.size(), group.size());
    setBiasCorrections(group, steps, beta1, beta2, false);
    context.kernels().lambStep(context, group.take(), {lr, weightDecay, beta1, beta2, eps});
    group.finish();
}

}  // namespace anneal::ops
