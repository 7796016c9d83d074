#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace anneal::picture {

// Reads the first bytes of a file that begins as JPEG files do, at most `most`, all of them if `most` is 0,
// and tells its size. False for what cannot be read, is no plain file (a pipe would never end), or is larger
// than any picture decoded here.
bool readJpegFile(const std::string& path, size_t most, std::vector<uint8_t>& bytes, size_t& total);

}  // namespace anneal::picture
