#include "calibration_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "error.hpp"

namespace edge {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 24;  // its counts fit 32 bits

// Floats of one sign have the order of their bits, so extremes are found in integers, which vectorise without
// -ffast-math.
struct Extremes {
  uint32_t largest = 0;   // of all bits: the lowest value if there are negative ones
  int32_t highest = 0;    // of all bits as signed numbers: the highest value
  std::size_t zeros = 0;  // of either sign

  void add(const float* values, std::size_t count) {
    std::size_t found = 0;
    for (std::size_t i = 0; i < count; ++i) {
      uint32_t bits;
      std::memcpy(&bits, values + i, sizeof bits);
      largest = std::max(largest, bits);
      highest = std::max(highest, static_cast<int32_t>(bits));
      found += (bits & 0x7fffffffU) == 0 ? 1 : 0;
    }
    zeros += found;
  }

  bool finite() const { return highest < 0x7f800000 && (largest <= 0x80000000U || largest < 0xff800000U); }
  float low() const { return largest > 0x80000000U ? as_float(largest) : 0.0F; }
  float high() const { return as_float(static_cast<uint32_t>(highest)); }

 private:
  static float as_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
};

}  // namespace

void CalibrationHistogram::add(const float* values, std::size_t count) {
  Extremes seen;
  seen.add(values, count);
  if (!seen.finite()) throw CoreError("a value is NaN or infinite");
  low_ = std::min(low_, seen.low());
  high_ = std::max(high_, seen.high());
  const double peak = std::max(-static_cast<double>(seen.low()), static_cast<double>(seen.high()));
  if (peak == 0) return;
  widen_to(peak);
  const auto per_bin = static_cast<float>(1 / width_);
  for (std::size_t start = 0; start < count; start += kChunk) {
    // Two tables: equal neighbours would wait for each other's store.
    std::array<std::array<uint32_t, kBins>, 2> tables{};
    const std::size_t end = std::min(count, start + kChunk);
    for (std::size_t i = start; i < end; ++i) {
      const auto bin = static_cast<uint32_t>(std::fabs(values[i]) * per_bin);
      tables[i & 1][std::min<uint32_t>(bin, kBins - 1)]++;
    }
    for (std::size_t bin = 0; bin < kBins; ++bin) counts_[bin] += tables[0][bin] + tables[1][bin];
  }
  counts_[0] -= static_cast<int64_t>(seen.zeros);
}

void CalibrationHistogram::widen_to(double peak) {
  // A little wider than the first peak, which would else lie on the border. Not smaller than a normal float
  // allows.
  if (width_ == 0) width_ = std::max(peak / kBins * (1 + 1e-6), 1e-37);
  while (peak >= width_ * kBins) {
    for (std::size_t bin = 0; bin < kBins / 2; ++bin) counts_[bin] = counts_[2 * bin] + counts_[2 * bin + 1];
    std::fill(counts_.begin() + kBins / 2, counts_.end(), 0);
    width_ *= 2;
  }
}

}  // namespace edge
