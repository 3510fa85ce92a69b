// Which frame shows which part: triggers of the part sensor that wait for their frame.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

#include "region.hpp"

namespace edge {

// Two witnesses must not disagree: the time at which the camera says it exposed, and its frame ids (one per
// trigger). Where they do, or where time alone is asked and could mean two parts, no part gets the frame: it
// is rejected as frame_lost, never judged by its neighbour's picture. One thread adds, one asks.
class ExpectedFrames {
 public:
  // `lag_ns`: longest time from the trigger to the exposure, well below the time between two parts.
  ExpectedFrames(int64_t timeout_ns, int64_t lag_ns) : timeout_ns_(timeout_ns), lag_ns_(lag_ns) {}

  // `announce` tells the loop of the part. In this order: once the trigger is here its frame may be published
  // at once, and a frame that is there before its trigger is nobody's to the loop.
  template <typename Announce>
  void add(const Trigger& trigger, Announce&& announce) {
    announce();
    add(trigger);
  }
  void add(const Trigger& trigger);

  // A frame may overtake the word of its trigger: waits for it, at most kOvertakes. A frame exposed at
  // `exposed_ns` (nothing: incomplete frames do not say) before which `missing` ids never came.
  std::optional<Trigger> match(std::optional<int64_t> exposed_ns, uint64_t missing);

  // Gives up those that no frame can answer any more; returns how many.
  uint64_t expire(int64_t now_ns);

  uint64_t disagreements() const { return disagreements_; }
  uint64_t noticed();   // given up since the last call
  void forget_order();  // a new session: its first frame is known by its time alone

 private:
  struct Entry {
    Trigger trigger;
    uint64_t number;
  };
  static constexpr uint64_t kPlaces = 256;
  static constexpr std::chrono::milliseconds kOvertakes{20};
  static constexpr int64_t kTolerance = kMillisecond;

  Entry& at(uint64_t n) { return ring_[n % kPlaces]; }
  std::optional<uint64_t> by_time(int64_t exposed_ns);

  std::optional<uint64_t> look(std::optional<int64_t> exposed_ns, std::optional<uint64_t> by_id);

  const int64_t timeout_ns_, lag_ns_;
  std::condition_variable added_;
  std::mutex mutex_;  // held for a few comparisons
  std::array<Entry, kPlaces> ring_{};
  uint64_t first_ = 0, end_ = 0;        // open expectations: [first_, end_)
  std::optional<uint64_t> last_match_;  // number of the trigger of the frame before
  uint64_t disagreements_ = 0, given_up_ = 0;
};

}  // namespace edge
