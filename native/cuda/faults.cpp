#include "cuda/faults.h"

#include <string>

#include "core/error.h"

namespace anneal::cuda {

namespace {

template <typename... Parts>
[[noreturn]] void failNamed(ErrorKind kind, const FaultRecord& record, const Parts&... parts) {
    throw OpError(kind, joined(record.op, ": ", parts...));
}

}  // namespace

void throwFault(const FaultRecord& record) {
    const long long* const n = record.numbers;
    switch (record.kind) {
        case FaultKind::None:
            return;
        case FaultKind::Index:
            failNamed(ErrorKind::Shape, record, "index ", n[0], " is out of range for dimension ", n[1],
                      " with size ", n[2]);
        case FaultKind::Label: {
            Dims position;
            for (int i = 0; i < n[3]; i++) position.push(n[4 + i]);
            failNamed(ErrorKind::Shape, record, "label ", n[0], " at position ", position.toString(),
                      " is out of range for ", n[1], " classes (0 to ", n[1] - 1, "; ignored: ", n[2], ")");
        }
        case FaultKind::OneHotLabel:
            failNamed(ErrorKind::Shape, record, "label ", n[0], " at position ", n[1],
                      " is out of range: there are ", n[2], " classes (0 to ", n[2] - 1, ")");
        case FaultKind::ZeroDivisor:
            failNamed(ErrorKind::General, record, "integer division by zero");
        case FaultKind::Picture:
            failNamed(ErrorKind::Shape, record, "warpPictures: picture ", n[0], " lies outside the bytes");
        case FaultKind::Probability:
            failNamed(ErrorKind::General, record, "probabilities must lie between 0 and 1, element ", n[0],
                      " is ", record.real, " (for raw scores use binaryCrossEntropyWithLogits)");
    }
}

}  // namespace anneal::cuda
