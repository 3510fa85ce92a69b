// Bounded statistics of latencies in nanoseconds: no allocation after construction.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace edge {

// Log-linear buckets: 2^kBits per octave, so a bucket is at most 1/2^kBits wide relative to its value.
template <int kBits>
struct LogLinear {
  static constexpr int kOctaves = 42;  // up to 2^41 ns = 36 minutes; larger values fall into the last bucket
  static constexpr size_t kBuckets = static_cast<size_t>(kOctaves - kBits + 1) << kBits;

  static size_t index(int64_t value_ns) {
    const uint64_t value = value_ns > 0 ? static_cast<uint64_t>(value_ns) : 0;
    if (value < (1u << kBits)) return static_cast<size_t>(value);
    const int octave = 63 - __builtin_clzll(value);
    const size_t i = (static_cast<size_t>(octave - kBits + 1) << kBits) +
                     static_cast<size_t>((value >> (octave - kBits)) - (1u << kBits));
    return std::min(i, kBuckets - 1);
  }

  // Largest value of the bucket: a quantile read from it is never too small.
  static int64_t upper(size_t i) {
    if (i < (1u << kBits)) return static_cast<int64_t>(i);
    const int shift = static_cast<int>(i >> kBits) - 1;
    const uint64_t base = (1u << kBits) + (i & ((1u << kBits) - 1));
    return static_cast<int64_t>(((base + 1) << shift) - 1);
  }
};

// Quantiles over a whole run, within 1 %; minimum and maximum exact.
class Histogram {
  using Buckets = LogLinear<7>;

 public:
  Histogram() : counts_(Buckets::kBuckets, 0) {}

  void add(int64_t value_ns) {
    counts_[Buckets::index(value_ns)]++;
    min_ = count_ == 0 ? value_ns : std::min(min_, value_ns);
    max_ = count_ == 0 ? value_ns : std::max(max_, value_ns);
    count_++;
  }

  int64_t quantile(double q) const {
    if (count_ == 0) return 0;
    const auto rank = static_cast<uint64_t>(std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_)));
    uint64_t seen = 0;
    for (size_t i = 0; i < Buckets::kBuckets; ++i) {
      seen += counts_[i];
      if (seen >= std::max<uint64_t>(rank, 1)) return std::clamp(Buckets::upper(i), min_, max_);
    }
    return max_;
  }

  uint64_t count() const { return count_; }
  int64_t max() const { return max_; }

  // How many values are at most this one, to the width of a bucket: 1 %.
  uint64_t below(int64_t value_ns) const {
    uint64_t seen = 0;
    const size_t last = Buckets::index(value_ns);
    for (size_t i = 0; i <= last; ++i) seen += counts_[i];
    return seen;
  }

 private:
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  int64_t min_ = 0, max_ = 0;
};

// Quantile over the last `window` values, within 3 % and never too small. While fewer than 1/(1-q) values are
// known it is their maximum: what is not known is assumed to be as bad as the worst seen.
class SlidingQuantile {
  using Buckets = LogLinear<5>;

 public:
  SlidingQuantile(size_t window, double q)
      : values_(std::max<size_t>(window, 1), 0), counts_(Buckets::kBuckets, 0), q_(std::clamp(q, 0.0, 1.0)) {}

  void add(int64_t value_ns) {
    if (count_ == values_.size()) {
      counts_[Buckets::index(values_[next_])]--;
    } else {
      count_++;
    }
    values_[next_] = value_ns;
    counts_[Buckets::index(value_ns)]++;
    next_ = (next_ + 1) % values_.size();
  }

  int64_t value() const { return value(q_); }

  // Another quantile of the same values.
  int64_t value(double q) const {
    if (count_ == 0) return 0;
    const auto above = static_cast<size_t>((1.0 - q) * static_cast<double>(count_) + 1e-9);
    size_t seen = 0;
    for (size_t i = Buckets::kBuckets; i-- > 0;) {
      seen += counts_[i];
      if (seen > above) return Buckets::upper(i);
    }
    return 0;
  }

  void clear() {
    std::fill(counts_.begin(), counts_.end(), 0U);
    next_ = count_ = 0;
  }

 private:
  std::vector<int64_t> values_;
  std::vector<uint32_t> counts_;
  size_t next_ = 0, count_ = 0;
  double q_;
};

// Of an engine: what is known of its latency.
constexpr size_t kLatencyRuns = 2048;
constexpr double kLatencyQuantile = 0.999;

}  // namespace edge
