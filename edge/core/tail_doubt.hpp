// When the tail of an engine's latencies is doubted.
#pragma once

#include <cstdint>

#include "histogram.hpp"

namespace edge {

// An engine that is not asked, because of what it took when the machine was held up, cannot show that this
// has passed: three bad runs of a warm-up would keep it from being asked as long as the line runs. It then
// runs between parts, as often as makes a tail, and these runs replace what was known. A run that is held up
// again costs time and never a pass: what is late is rejected. A PLC's round trips are doubted alike.
class TailDoubt {
 public:
  explicit TailDoubt(size_t window = kLatencyRuns) : fresh_ns_(window, kLatencyQuantile) {}

  static constexpr int kRuns = 200;
  static constexpr int64_t kRest = 30'000'000'000;  // an engine that stays slow is not tried all the time

  void raise(int64_t now) {
    if (now >= rests_until_ns_) raised_ = true;
  }
  bool raised() const { return raised_; }

  void ran(int64_t took_ns, int64_t now, SlidingQuantile& latency_ns) {
    fresh_ns_.add(took_ns);
    if (++runs_ < kRuns) return;
    latency_ns = fresh_ns_;
    fresh_ns_.clear();
    runs_ = 0;
    raised_ = false;
    rests_until_ns_ = now + kRest;
  }

 private:
  SlidingQuantile fresh_ns_;
  int runs_ = 0;
  bool raised_ = false;
  int64_t rests_until_ns_ = 0;
};

}  // namespace edge
