#include "picture/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace anneal::picture {

namespace {

constexpr off_t kMostBytes = off_t{1} << 30;

class File {
  public:
    // Not blocking: opening a pipe that nobody writes to would wait forever.
    explicit File(const std::string& path)
        : descriptor_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {}
    ~File() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    // Size of a plain file, else 0.
    off_t size() const {
        struct stat status;
        if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
        return status.st_size;
    }
    bool read(uint8_t* to, size_t count) const {
        while (count > 0) {
            const ssize_t got = ::read(descriptor_, to, count);
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) return false;
            to += got;
            count -= static_cast<size_t>(got);
        }
        return true;
    }

  private:
    int descriptor_;
};

}  // namespace

bool readJpegFile(const std::string& path, size_t most, std::vector<uint8_t>& bytes, size_t& total) {
    const File file(path);
    const off_t size = file.size();
    if (size < 2 || size > kMostBytes) return false;
    total = static_cast<size_t>(size);
    const size_t wanted = most == 0 ? total : std::min(most, total);
    // Others are for another decoder: only a little of them is read in vain.
    const size_t first = std::min<size_t>(wanted, 16384);
    if (bytes.size() < wanted) bytes.resize(wanted);
    if (!file.read(bytes.data(), first) || bytes[0] != 0xff || bytes[1] != 0xd8) return false;
    bytes.resize(wanted);
    return file.read(bytes.data() + first, wanted - first);
}

}  // namespace anneal::picture
