// A camera's clock on ours: when, in CLOCK_MONOTONIC, did the camera stamp a frame?
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace edge {

// Every frame says: our time at its arrival = its stamp + offset + way, and the way is never negative. So the
// offset is the lower envelope of (arrival - stamp): the smallest per window of frames, through which a line
// is laid (least squares over the last windows). Its slope is the drift. A mapped time is never later than
// the arrival.
//
// A frame far below the line came before it was stamped: the camera's clock has jumped. One far above it is
// late, and mapped as old as it is; only when several in a row agree has the clock jumped back.
class DeviceClock {
 public:
  // Both ns. Returns when the frame was stamped, CLOCK_MONOTONIC ns.
  int64_t add(int64_t device_ns, int64_t arrival_ns);

  int64_t jumps() const { return jumps_; }                 // of the camera's clock, found and survived
  double drift() const { return slope_; }                  // our seconds gained per second of the camera's
  bool settled() const { return count_ >= kLeastPoints; }  // the drift is measured

 private:
  struct Point {
    int64_t device_ns, offset_ns;
  };
  static constexpr int64_t kJumpNs = 50'000'000;
  static constexpr int kAgree = 3;
  static constexpr int64_t kWindowNs = 1'000'000'000;
  static constexpr size_t kPoints = 32, kLeastPoints = 8;

  int64_t offset_at(int64_t device_ns) const;
  bool jumped(int64_t above_ns);
  void restart(int64_t device_ns, int64_t offset_ns);
  void close_window();
  void fit();

  std::array<Point, kPoints> points_{};  // lower envelope: one per window
  size_t count_ = 0, next_ = 0;
  Point base_{};    // where the line starts
  Point lowest_{};  // of the open window
  int64_t window_began_ns_ = 0, last_device_ns_ = 0, last_arrival_ns_ = 0;
  double slope_ = 0;
  bool begun_ = false;
  int far_above_ = 0;
  int64_t jumps_ = 0;
};

}  // namespace edge
