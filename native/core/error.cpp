#include "core/error.h"

#include <cstdio>

namespace anneal {

namespace {

template <typename... Numbers>
std::string formatted(const char* format, Numbers... numbers) {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, format, numbers...);
    return buffer;
}

}  // namespace

void append(std::string& text, const char* part) { text += part; }
void append(std::string& text, std::string_view part) { text += part; }
void append(std::string& text, char part) { text += part; }
void append(std::string& text, int part) { text += std::to_string(part); }
void append(std::string& text, unsigned part) { text += std::to_string(part); }
void append(std::string& text, long part) { text += std::to_string(part); }
void append(std::string& text, unsigned long part) { text += std::to_string(part); }
void append(std::string& text, long long part) { text += std::to_string(part); }
void append(std::string& text, unsigned long long part) { text += std::to_string(part); }
void append(std::string& text, double part) { text += formatted("%g", part); }

std::string megabytes(size_t bytes) { return formatted("%.1f MiB", static_cast<double>(bytes) / (1 << 20)); }

}  // namespace anneal
