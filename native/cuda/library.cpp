#include "cuda/library.h"

#include <dlfcn.h>
#include <glob.h>

#include <cstdlib>
#include <sstream>

#include "core/error.h"

#ifdef ANNEAL_CUDA_EMULATED
namespace anneal::emulation {
void* librarySymbol(const char* name);
}
#endif

namespace anneal::cuda {

namespace {

[[maybe_unused]] std::vector<std::string> split(const char* list) {
    std::vector<std::string> parts;
    std::istringstream text(list ? list : "");
    for (std::string part; std::getline(text, part, ':');) {
        if (!part.empty()) parts.push_back(part);
    }
    return parts;
}

// Besides the system's own paths: what the user says, CUDA's folders, and those of Python's wheels.
[[maybe_unused]] std::vector<std::string> folders() {
    std::vector<std::string> result = split(std::getenv("ANNEAL_CUDA_LIBS"));
    std::vector<std::string> patterns;
    for (const char* name : {"CUDA_HOME", "CUDA_PATH", "CUDNN_PATH"}) {
        if (const char* root = std::getenv(name)) {
            patterns.push_back(std::string(root) + "/lib64");
            patterns.push_back(std::string(root) + "/lib");
        }
    }
    patterns.insert(patterns.end(), {"/usr/local/cuda/lib64", "/usr/local/cuda-*/lib64", "/opt/cuda/lib64",
                                     "/usr/lib/x86_64-linux-gnu", "/usr/lib64"});
    std::vector<std::string> pythons = {"/usr/lib/python3*/*-packages", "/usr/lib/python3/dist-packages",
                                        "/usr/local/lib/python3*/*-packages",
                                        "/opt/conda/lib/python3*/site-packages",
                                        "/opt/venv/lib/python3*/site-packages"};
    for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
        if (const char* root = std::getenv(name))
            pythons.push_back(std::string(root) + "/lib/python3*/site-packages");
    }
    if (const char* home = std::getenv("HOME"))
        pythons.push_back(std::string(home) + "/.local/lib/python3*/site-packages");
    // Those beside a Python that is on the PATH: environments, and whatever put it there.
    for (const std::string& folder : split(std::getenv("PATH"))) {
        pythons.push_back(folder + "/../lib/python3*/site-packages");
        pythons.push_back(folder + "/../lib/python3*/dist-packages");
    }
    for (const std::string& python : pythons) {
        patterns.push_back(python + "/nvidia/*/lib");
        patterns.push_back(python + "/torch/lib");
    }
    for (const std::string& pattern : patterns) {
        glob_t found;
        if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
            for (size_t i = 0; i < found.gl_pathc; i++) result.push_back(found.gl_pathv[i]);
        }
        globfree(&found);
    }
    return result;
}

}  // namespace

Library::Library(std::string title, std::vector<std::string> names, std::vector<std::string> companions)
    : title_(std::move(title)), names_(std::move(names)), companions_(std::move(companions)) {}

void Library::open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (opened_) return;
    opened_ = true;
#ifdef ANNEAL_CUDA_EMULATED
    path_ = "emulated";
#else
    const auto open = [&](const std::string& file) {
        handle_ = dlopen(file.c_str(), RTLD_LAZY | RTLD_LOCAL);
        if (handle_) {
            path_ = file;
            return true;
        }
        // A file that is there says what is wrong with it.
        const char* const said = dlerror();
        const std::string reason = said ? said : file;
        tried_.push_back(reason.rfind(file + ": cannot open", 0) == 0 ? file : reason);
        return false;
    };
    std::vector<std::string> places;
    // Whoever asks for a library by name gets one of that name that is there already.
    for (const std::string& companion : companions_) {
        if (dlopen(companion.c_str(), RTLD_LAZY | RTLD_LOCAL)) continue;
        if (places.empty()) places = folders();
        for (const std::string& folder : places) {
            if (dlopen((folder + "/" + companion).c_str(), RTLD_LAZY | RTLD_LOCAL)) break;
        }
    }
    for (const std::string& name : names_) {
        if (open(name)) return;
    }
    if (places.empty()) places = folders();
    for (const std::string& folder : places) {
        for (const std::string& name : names_) {
            if (open(folder + "/" + name)) return;
        }
    }
#endif
}

bool Library::found() {
    open();
    return !path_.empty();
}

void Library::require() {
    if (found()) return;
    std::string list;
    for (const std::string& file : tried_) list += "\n  " + file;
    fail(ErrorKind::Device, title_, " was not found; tried", list,
         "\nInstall it (pip install nvidia-cublas nvidia-cudnn-cu13, or NVIDIA's packages), or set "
         "ANNEAL_CUDA_LIBS to its folder");
}

void* Library::symbol(const char* name) {
    require();
#ifdef ANNEAL_CUDA_EMULATED
    void* const found = emulation::librarySymbol(name);
#else
    void* const found = dlsym(handle_, name);
#endif
    CHECK_DEVICE(found != nullptr, title_, " (", path_, ") has no function ", name,
                 ": it is of another version than anneal can use");
    return found;
}

std::string Library::version() {
    if (!found()) return "";
    const size_t at = path_.rfind(".so.");
    return at == std::string::npos ? "" : path_.substr(at + 4);
}

std::string Library::state() { return found() ? path_ : "not found"; }

Library& cublasLtLibrary() {
    static Library library("cuBLASLt", {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"});
    return library;
}

Library& cudnnLibrary() {
    // It opens cuBLASLt and, for some of its kernels, NVRTC of the same version.
    static Library library("cuDNN", {"libcudnn.so.9", "libcudnn.so.8"},
                           {"libnvrtc.so." + cublasLtLibrary().version()});
    return library;
}

}  // namespace anneal::cuda
