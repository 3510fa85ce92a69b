// When an event is due that follows another, learned from the parts before.
//
// A processor that has slept needs 50 to 100 µs to wake up, and code that has not run for 60 ms runs several
// times slower. Whoever knows when its work comes is awake and warm by then, and asleep the rest of the time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "histogram.hpp"

namespace edge {

class Anticipation {
 public:
  static constexpr int64_t kLead = 350'000;       // to wake up and to rehearse
  static constexpr int64_t kLongest = 1'500'000;  // awake per part: 2 % of a processor at 15 parts a second

  struct Window {
    int64_t from_ns = 0, until_ns = 0;
  };

  // `delay_ns`: from what comes first to the event.
  void learn(int64_t delay_ns) {
    earliest_.add(delay_ns);
    latest_.add(delay_ns);
  }

  // Empty until something was learned.
  Window window(int64_t first_ns) const {
    const int64_t latest_ns = latest_.value();
    if (latest_ns == 0) return {};
    const int64_t from_ns = first_ns + earliest_.value() - kLead;
    return {from_ns, std::min(first_ns + latest_ns, from_ns + kLongest)};
  }

 private:
  SlidingQuantile earliest_{128, 0.05}, latest_{128, 0.9};
};

}  // namespace edge
