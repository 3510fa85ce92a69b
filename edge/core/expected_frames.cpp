#include "expected_frames.hpp"

#include <utility>

namespace edge {

void ExpectedFrames::add(const Trigger& trigger) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (end_ - first_ == kPlaces) {
    ++first_;
    ++given_up_;
  }
  at(end_) = {trigger, end_};
  ++end_;
  added_.notify_one();
}

std::optional<Trigger> ExpectedFrames::match(std::optional<int64_t> exposed_ns, uint64_t missing) {
  std::unique_lock<std::mutex> lock(mutex_);
  std::optional<uint64_t> by_id;
  if (last_match_) by_id = *last_match_ + missing + 1;
  std::optional<uint64_t> found = look(exposed_ns, by_id);
  if (!found) {
    added_.wait_for(lock, kOvertakes, [&] { return (found = look(exposed_ns, by_id)).has_value(); });
  }
  if (found && by_id && *found != *by_id) {
    ++disagreements_;
    found.reset();
  }
  last_match_ = found;
  if (!found) return std::nullopt;
  given_up_ += *found - first_;
  first_ = *found + 1;
  return at(*found).trigger;
}

std::optional<uint64_t> ExpectedFrames::look(std::optional<int64_t> exposed_ns,
                                             std::optional<uint64_t> by_id) {
  if (exposed_ns) return by_time(*exposed_ns);
  return by_id && *by_id >= first_ && *by_id < end_ ? by_id : std::nullopt;
}

// The youngest trigger that was there before the exposure; without the ids' word only if it is the only one.
std::optional<uint64_t> ExpectedFrames::by_time(int64_t exposed_ns) {
  std::optional<uint64_t> found;
  uint64_t possible = 0;
  for (uint64_t n = first_; n < end_; ++n) {
    const int64_t since_ns = exposed_ns - at(n).trigger.stamp_ns;
    if (since_ns < -kTolerance) break;
    if (since_ns > lag_ns_) continue;
    found = n;
    ++possible;
  }
  if (!last_match_ && possible > 1) {
    ++disagreements_;
    return std::nullopt;
  }
  return found;
}

uint64_t ExpectedFrames::expire(int64_t now_ns) {
  const std::lock_guard<std::mutex> lock(mutex_);
  uint64_t count = 0;
  while (first_ < end_ && now_ns - at(first_).trigger.stamp_ns > timeout_ns_) {
    ++first_;
    ++count;
  }
  given_up_ += count;
  return count;
}

uint64_t ExpectedFrames::noticed() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(given_up_, 0);
}

void ExpectedFrames::forget_order() {
  const std::lock_guard<std::mutex> lock(mutex_);
  last_match_.reset();
}

}  // namespace edge
