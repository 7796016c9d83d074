#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace anneal::cpu {

// Elements per chunk below which a second thread costs more than it brings.
constexpr int64_t kGrain = 16384;

// Runs body(begin, end) over [0, count) in chunks of `grain`. Small work stays on the engine thread; large
// work goes to the team, which claims chunks one by one so that a core taken by a neighbour delays one chunk
// only. Chunk borders depend on `grain` alone: results never depend on timing.
template <typename Body>
void parallelFor(int64_t count, int64_t grain, const Body& body) {
    if (count <= 0) return;
    const int64_t chunks = (count + grain - 1) / grain;
    if (chunks == 1 || omp_get_max_threads() == 1) {
        body(int64_t{0}, count);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        body(chunk * grain, std::min(count, (chunk + 1) * grain));
    }
}

}  // namespace anneal::cpu
