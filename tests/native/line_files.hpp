// Files in shared memory that go with their test.
#pragma once

#include <unistd.h>

#include <string>

struct LineFiles {
  explicit LineFiles(const std::string& test)
      : base("/dev/shm/edge-test-" + std::to_string(getpid()) + "-" + test) {}
  ~LineFiles() {
    unlink(region().c_str());
    unlink(ring().c_str());
  }
  std::string region() const { return base + "-region"; }
  std::string ring() const { return base + "-ring"; }

  std::string base;
};
