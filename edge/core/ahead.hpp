// Prepares an engine's input on another processor while the loop is busy with the engine before it.
//
// Whoever takes the job first does it: a helper that does not wake up in time costs nothing but its own help.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "clock.hpp"
#include "preprocess.hpp"

namespace edge {

enum class Help { READY, YOURS, LATE };

struct AheadJob {
  Preprocess* preprocess = nullptr;
  void* input = nullptr;
  const uint8_t* pixels = nullptr;
  Geometry geometry{};
};

class Ahead {
 public:
  ~Ahead() { stop(); }

  // Runs on any processor but `not_cpu`; priority 0: the scheduler's own.
  void start(int not_cpu, int fifo_priority) {
    thread_ = std::thread([this, not_cpu, fifo_priority] {
      avoid_cpu(not_cpu);
      if (fifo_priority > 0) set_fifo_priority(fifo_priority);
      work();
    });
  }

  void stop() {
    quit_.store(true, std::memory_order_release);
    bell_.ring();
    if (thread_.joinable()) thread_.join();
  }

  // From here on until take() the pixels must stay. The geometry has passed the preprocess' check.
  void offer(const AheadJob& job) {
    offered_ = state_.load(std::memory_order_acquire) != kBusy;  // else it still hangs at an older frame
    if (!offered_) return;
    job_ = job;
    state_.store(kOffered, std::memory_order_release);
    bell_.ring();
  }

  // Is the input there? YOURS: nobody has begun, and nobody will. LATE: begun, and not done by `until_ns`.
  // Until READY or YOURS was said the pixels are read.
  Help take(int64_t until_ns) {
    int state = kOffered;
    if (state_.compare_exchange_strong(state, kIdle, std::memory_order_acq_rel)) return Help::YOURS;
    while ((state = state_.load(std::memory_order_acquire)) == kBusy && now_ns() < until_ns) relax();
    if (state == kBusy) return Help::LATE;
    const bool done = offered_ && state == kDone;
    state_.store(kIdle, std::memory_order_relaxed);
    return done ? Help::READY : Help::YOURS;
  }

 private:
  enum State : int { kIdle, kOffered, kBusy, kDone };

  void work() {
    while (!quit_.load(std::memory_order_acquire)) {
      const uint32_t seen = bell_.count();
      int state = kOffered;
      if (state_.compare_exchange_strong(state, kBusy, std::memory_order_acq_rel)) {
        job_.preprocess->run(job_.pixels, job_.geometry, job_.input);
        state_.store(kDone, std::memory_order_release);
      } else {
        bell_.wait(seen, now_ns() + kSecond);
      }
    }
  }

  AheadJob job_{};
  bool offered_ = false;  // the loop's: whether the helper has this frame
  std::atomic<int> state_{kIdle};
  std::atomic<bool> quit_{false};
  Doorbell bell_;
  std::thread thread_;
};

}  // namespace edge
