#pragma once

#include <string>

namespace anneal {

// Where memory lies and kernels run: number 0 is the processor, number n CUDA's device n - 1.
class Device {
  public:
    constexpr Device() = default;
    explicit constexpr Device(int number) : number_(number) {}
    static constexpr Device cpu() { return Device(0); }
    static constexpr Device cuda(int ordinal) { return Device(ordinal + 1); }

    constexpr int number() const { return number_; }
    constexpr bool isCpu() const { return number_ == 0; }
    constexpr int ordinal() const { return number_ - 1; }
    std::string name() const;  // cpu, cuda:0

    constexpr bool operator==(const Device& other) const { return number_ == other.number_; }
    constexpr bool operator!=(const Device& other) const { return number_ != other.number_; }

  private:
    int number_ = 0;
};

constexpr int kMaxDevices = 17;

}  // namespace anneal
