#pragma once

#include "core/kernels.h"
#include "cuda/launch.h"
#include "cuda/runtime.h"
#include "cuda/types.h"

// What a kernel's host side needs: submit() puts a body into the queue, which launches when its turn has
// come.
namespace anneal::cuda {

// Runs body(runtime) on the engine thread, after everything enqueued before; what it launches goes to
// runtime.stream() and belongs to `op`.
template <typename Body>
void submit(Context& context, const char* op, Body body) {
    context.enqueue(op, [runtime = &runtimeOf(context), op, body = std::move(body)] {
        runtime->begin(op);
        body(*runtime);
        runtime->end();
    });
}

template <typename T>
T* dataOf(const View* view) {
    return view ? view->as<T>() : nullptr;
}

}  // namespace anneal::cuda
