// Accounts for every frame id of one session with a camera.
#pragma once

#include <cstdint>

namespace edge {

// GigE Vision's ids are 16 bit and go 65535 → 1; those of USB3 Vision do not wrap in our lifetime. 0 is no id
// in GigE Vision: the library's for a frame whose first packet was lost. The frame after it tells that one is
// missing.
class FrameIds {
 public:
  explicit FrameIds(bool wide) : wide_(wide) {}

  struct Step {
    uint64_t missing;  // ids between this frame and the one before that never came
    bool old;          // none, one that was seen already, or the camera counts from the start again
  };

  Step next(uint64_t id) {
    if (!wide_ && id == 0) return {0, true};
    if (!begun_) {
      begun_ = true;
      last_ = id;
      return {0, false};
    }
    const uint64_t ahead = wide_ ? id - last_ : (id + kShort - last_) % kShort;
    if (ahead == 0 || ahead > (wide_ ? UINT64_MAX / 2 : kShort / 2)) return {0, true};
    last_ = id;
    return {ahead - 1, false};
  }

 private:
  static constexpr uint64_t kShort = 65535;
  const bool wide_;
  bool begun_ = false;
  uint64_t last_ = 0;
};

}  // namespace edge
