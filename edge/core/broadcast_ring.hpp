// One writer, any number of readers, each with its own cursor, across processes. A slow reader never holds up
// the writer: it loses the oldest entries and is told how many.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace edge {

template <typename T, uint64_t kCapacity>
class BroadcastRing {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 8 == 0);
  static constexpr size_t kWords = sizeof(T) / 8;

  struct Entry {
    std::atomic<uint64_t> stamp;  // 2 * index + 1 while it is written, 2 * index + 2 when it is whole
    std::atomic<uint64_t>
        words[kWords];  // atomic words: a reader may meet the writer, and must see that it did
  };

 public:
  void push(const T& value) {
    const uint64_t index = head_.load(std::memory_order_relaxed);
    Entry& entry = entries_[index % kCapacity];
    uint64_t words[kWords];
    std::memcpy(words, &value, sizeof(T));
    entry.stamp.store(2 * index + 1, std::memory_order_relaxed);
    // Release on every word: a reader that sees a new word also sees that the stamp has moved on.
    for (size_t i = 0; i < kWords; ++i) entry.words[i].store(words[i], std::memory_order_release);
    entry.stamp.store(2 * index + 2, std::memory_order_release);
    head_.store(index + 1, std::memory_order_release);
  }

  uint64_t head() const { return head_.load(std::memory_order_acquire); }

  class Reader {
   public:
    Reader(const BroadcastRing& ring, uint64_t cursor) : ring_(&ring), cursor_(cursor) {}

    bool read(T& out) {
      for (;;) {
        const uint64_t head = ring_->head();
        if (cursor_ >= head) return false;
        if (head - cursor_ > kCapacity) {
          lost_ += head - kCapacity - cursor_;
          cursor_ = head - kCapacity;
        }
        const Entry& entry = ring_->entries_[cursor_ % kCapacity];
        const uint64_t want = 2 * cursor_ + 2;
        if (entry.stamp.load(std::memory_order_acquire) == want) {
          uint64_t words[kWords];
          for (size_t i = 0; i < kWords; ++i) words[i] = entry.words[i].load(std::memory_order_acquire);
          if (entry.stamp.load(std::memory_order_relaxed) == want) {
            std::memcpy(&out, words, sizeof(T));
            cursor_++;
            return true;
          }
        }
        lost_++;  // overwritten while we looked
        cursor_++;
      }
    }

    uint64_t lost() const { return lost_; }

   private:
    const BroadcastRing* ring_;
    uint64_t cursor_;
    uint64_t lost_ = 0;
  };

  Reader reader() const { return Reader(*this, head()); }

 private:
  std::atomic<uint64_t> head_;
  Entry entries_[kCapacity];
};

}  // namespace edge
