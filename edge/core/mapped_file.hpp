// A file mapped shared and read-write; unmapped with its owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace edge {

class MappedFile {
 public:
  // Creates the file and reserves every byte of it now, so that a full disk is met here and not in the hot
  // path. Throws CoreError if the path exists, cannot be written or the space is not there; nothing is left
  // behind.
  static MappedFile create(const std::string& path, size_t bytes);
  // Throws CoreError if the file is missing or shorter than `minimum` bytes.
  static MappedFile attach(const std::string& path, size_t minimum);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();

  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, uint8_t* data, size_t bytes);

  std::string path_;
  uint8_t* data_;
  size_t bytes_;
};

}  // namespace edge
