#include "mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "error.hpp"

namespace edge {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

uint8_t* map(int fd, size_t bytes, const std::string& path) {
  // Every page now: a fault in the hot path costs more than the whole hand-over, and resident memory is flat
  // from the start.
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (data == MAP_FAILED) throw CoreError(path + ": cannot be mapped: " + std::strerror(errno));
  return static_cast<uint8_t*>(data);
}

}  // namespace

MappedFile MappedFile::create(const std::string& path, size_t bytes) {
  Descriptor file{open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
  if (file.fd < 0) {
    const std::string hint = errno == EEXIST ? " (another line may be running; remove the file if not)" : "";
    throw CoreError(path + ": cannot be created: " + std::strerror(errno) + hint);
  }
  const int failed = posix_fallocate(file.fd, 0, static_cast<off_t>(bytes));
  if (failed != 0) {
    unlink(path.c_str());
    throw CoreError(path + ": cannot reserve " + std::to_string(bytes / 1024) +
                    " KiB: " + std::strerror(failed) +
                    ". Free some space there, or choose another place in the line file");
  }
  try {
    return MappedFile(path, map(file.fd, bytes, path), bytes);
  } catch (...) {
    unlink(path.c_str());
    throw;
  }
}

MappedFile MappedFile::attach(const std::string& path, size_t minimum) {
  Descriptor file{open(path.c_str(), O_RDWR | O_CLOEXEC)};
  if (file.fd < 0) throw CoreError(path + ": cannot be opened: " + std::strerror(errno));
  struct stat info{};
  if (fstat(file.fd, &info) != 0) throw CoreError(path + ": " + std::strerror(errno));
  const auto bytes = static_cast<size_t>(info.st_size);
  if (bytes < minimum) {
    throw CoreError(path + ": truncated: " + std::to_string(bytes) + " bytes found, at least " +
                    std::to_string(minimum) + " expected. Move the file aside and start again");
  }
  return MappedFile(path, map(file.fd, bytes, path), bytes);
}

MappedFile::MappedFile(std::string path, uint8_t* data, size_t bytes)
    : path_(std::move(path)), data_(data), bytes_(bytes) {}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

}  // namespace edge
