// Who may launch for which frames: closed while another thread changes what such a launch reads.
#pragma once

#include <atomic>
#include <cstdint>

#include "clock.hpp"

namespace edge {

class FrameDoor {
 public:
  // The loop's side, never waits. True: launch, then leave().
  bool enter(uint64_t shape) noexcept {
    inside_.store(true);  // in one order with close(): that waits for this, or this sees that it is closed
    if (shape_.load() == shape) return true;
    leave();
    return false;
  }
  void leave() noexcept { inside_.store(false); }

  // The other thread's. `shape` (see shape_of) is not 0.
  void open(uint64_t shape) noexcept { shape_.store(shape); }
  // When it returns nobody is inside, and nobody enters until open().
  void close() noexcept {
    shape_.store(0);
    while (inside_.load()) sleep_until_ns(now_ns() + kMillisecond / 10);
  }

 private:
  std::atomic<uint64_t> shape_{0};
  std::atomic<bool> inside_{false};
};

}  // namespace edge
