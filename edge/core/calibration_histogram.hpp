// Which |x| an activation takes, over a stream of any length, in fixed memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace edge {

// Counts of |x| in equal bins from 0. The range doubles when a value falls outside: two neighbours become one
// bin. Exact zeros are not counted: every symmetric scale represents them without error, and after a ReLU
// they would drown the shape of the rest.
class CalibrationHistogram {
 public:
  static constexpr std::size_t kBins = 2048;
  using Counts = std::array<int64_t, kBins>;

  // Throws CoreError, and counts nothing, if a value is NaN or infinite.
  void add(const float* values, std::size_t count);

  const Counts& counts() const { return counts_; }
  double width() const { return width_; }  // of one bin; 0: only zeros so far
  float low() const { return low_; }       // extremes seen; 0 lies between them
  float high() const { return high_; }

 private:
  void widen_to(double peak);

  Counts counts_{};
  double width_ = 0;
  float low_ = 0, high_ = 0;
};

}  // namespace edge
