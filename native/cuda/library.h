#pragma once

#include <mutex>
#include <string>
#include <vector>

// NVIDIA's libraries, opened when first needed: a build runs with and without them.
namespace anneal::cuda {

class Library {
  public:
    // `names`: the file names to try, newest first (libcublasLt.so.13, …). `companions`: what it opens
    // itself, by name alone, when it needs them; they are opened first where they lie in one of our folders.
    Library(std::string title, std::vector<std::string> names, std::vector<std::string> companions = {});

    // Throws a DeviceError that names what was looked for, and where.
    void require();
    bool found();
    // A function by its name; throws a DeviceError where the library has none.
    void* symbol(const char* name);
    template <typename Function>
    void bind(Function& function, const char* name) {
        function = reinterpret_cast<Function>(symbol(name));
    }
    // The version in its file's name; empty where there is none.
    std::string version();
    // Where it was found, or that it is missing.
    std::string state();

  private:
    void open();

    const std::string title_;
    const std::vector<std::string> names_, companions_;
    std::string path_;
    std::vector<std::string> tried_;
    void* handle_ = nullptr;
    bool opened_ = false;
    std::mutex mutex_;  // workers open devices, too
};

Library& cublasLtLibrary();
Library& cudnnLibrary();

}  // namespace anneal::cuda
