// Clock, futex and real-time helpers. All times are CLOCK_MONOTONIC nanoseconds.
#pragma once

#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace edge {

constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;

inline timespec to_timespec(int64_t ns) { return {ns / kSecond, ns % kSecond}; }

inline int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * kSecond + t.tv_nsec;
}

inline void sleep_until_ns(int64_t deadline_ns) {
  const timespec t = to_timespec(deadline_ns > 0 ? deadline_ns : 0);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
  }
}

// Between two looks of a loop that spins.
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A doorbell is a counter in shared memory. The waiter notes the count *before* it looks for work and passes
// it to wait(): a ring in between makes wait() return at once, so no wake-up is ever lost.
class Doorbell {
 public:
  uint32_t count() const { return count_.load(std::memory_order_acquire); }

  void ring() {
    count_.fetch_add(1, std::memory_order_release);
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&count_), FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
  }

  // Returns when the count differs from `seen`, the absolute time has come, or a signal arrived.
  void wait(uint32_t seen, int64_t deadline_ns) const {
    if (count() != seen) return;
    const timespec t = to_timespec(deadline_ns > 0 ? deadline_ns : 0);
    // FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time; plain FUTEX_WAIT a relative one.
    syscall(SYS_futex, reinterpret_cast<const uint32_t*>(&count_), FUTEX_WAIT_BITSET, seen, &t, nullptr,
            FUTEX_BITSET_MATCH_ANY);
  }

  // The same without giving up the processor: for a ring that is due within a fraction of a millisecond.
  void spin(uint32_t seen, int64_t deadline_ns) const {
    while (count() == seen && now_ns() < deadline_ns) relax();
  }

 private:
  std::atomic<uint32_t> count_{0};
};
static_assert(sizeof(Doorbell) == 4 && std::atomic<uint32_t>::is_always_lock_free);

inline bool set_fifo_priority(int priority) {
  sched_param param{};
  param.sched_priority = priority;
  return sched_setscheduler(0, SCHED_FIFO, &param) == 0;
}

inline bool lock_memory() { return mlockall(MCL_CURRENT | MCL_FUTURE) == 0; }

// Any of the processors that this thread may use, but one.
inline bool avoid_cpu(int cpu) {
  cpu_set_t set;
  if (cpu < 0 || sched_getaffinity(0, sizeof(set), &set) != 0) return false;
  CPU_CLR(cpu, &set);
  return sched_setaffinity(0, sizeof(set), &set) == 0;
}

inline bool pin_to_cpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return sched_setaffinity(0, sizeof(set), &set) == 0;
}

}  // namespace edge
