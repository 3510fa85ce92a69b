#include "device_clock.hpp"

#include <algorithm>
#include <cmath>

namespace edge {

int64_t DeviceClock::add(int64_t device_ns, int64_t arrival_ns) {
  const int64_t offset_ns = arrival_ns - device_ns;
  if (!begun_) {
    restart(device_ns, offset_ns);
  } else if (jumped(offset_ns - offset_at(device_ns))) {
    ++jumps_;
    restart(device_ns, offset_ns);
  }
  last_device_ns_ = device_ns;
  last_arrival_ns_ = arrival_ns;
  if (device_ns - window_began_ns_ >= kWindowNs) close_window();
  if (far_above_ > 0) return device_ns + offset_at(device_ns);
  if (offset_ns - offset_at(device_ns) < lowest_.offset_ns - offset_at(lowest_.device_ns)) {
    lowest_ = {device_ns, offset_ns};
  }
  // Nobody receives a frame before it was stamped: what lies below the line moves it down at once.
  if (offset_ns < offset_at(device_ns)) base_.offset_ns -= offset_at(device_ns) - offset_ns;
  return device_ns + offset_at(device_ns);
}

int64_t DeviceClock::offset_at(int64_t device_ns) const {
  return base_.offset_ns +
         static_cast<int64_t>(std::llround(slope_ * static_cast<double>(device_ns - base_.device_ns)));
}

bool DeviceClock::jumped(int64_t above_ns) {
  far_above_ = above_ns > kJumpNs ? far_above_ + 1 : 0;
  return above_ns < -kJumpNs || far_above_ >= kAgree;
}

void DeviceClock::restart(int64_t device_ns, int64_t offset_ns) {
  begun_ = true;
  far_above_ = 0;
  count_ = next_ = 0;
  slope_ = 0;
  window_began_ns_ = device_ns;
  base_ = lowest_ = {device_ns, offset_ns};
}

void DeviceClock::close_window() {
  points_[next_] = lowest_;
  next_ = (next_ + 1) % kPoints;
  count_ = std::min(count_ + 1, kPoints);
  window_began_ns_ = last_device_ns_;
  lowest_ = {last_device_ns_, last_arrival_ns_ - last_device_ns_};
  fit();
}

// Least squares, then down until no point lies below.
void DeviceClock::fit() {
  if (!settled()) {  // too short for a slope: the lowest offset alone
    for (size_t i = 0; i < count_; ++i) base_.offset_ns = std::min(base_.offset_ns, points_[i].offset_ns);
    return;
  }
  const Point origin = points_[next_ % count_];
  double sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (size_t i = 0; i < count_; ++i) {
    const auto x = static_cast<double>(points_[i].device_ns - origin.device_ns);
    const auto y = static_cast<double>(points_[i].offset_ns - origin.offset_ns);
    sx += x, sy += y, sxx += x * x, sxy += x * y;
  }
  const auto n = static_cast<double>(count_);
  const double spread = n * sxx - sx * sx;
  slope_ = spread > 0 ? (n * sxy - sx * sy) / spread : 0;
  base_ = {origin.device_ns, origin.offset_ns};
  int64_t below_ns = INT64_MAX;
  for (size_t i = 0; i < count_; ++i) {
    below_ns = std::min(below_ns, points_[i].offset_ns - offset_at(points_[i].device_ns));
  }
  base_.offset_ns += below_ns;
}

}  // namespace edge
