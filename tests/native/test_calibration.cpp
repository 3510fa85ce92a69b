#include <cmath>
#include <limits>
#include <vector>

#include "calibration_histogram.hpp"
#include "check.hpp"
#include "error.hpp"

using namespace edge;

namespace {

int64_t total(const CalibrationHistogram& histogram) {
  int64_t sum = 0;
  for (const int64_t count : histogram.counts()) sum += count;
  return sum;
}

}  // namespace

TEST(a_histogram_counts_every_size_of_number_and_no_zero) {
  CalibrationHistogram histogram;
  const std::vector<float> values{0.0F, -0.0F, 1e-42F, -1.0F, 3.0F, 3.4e38F, -3.4e38F, 1e-20F};
  histogram.add(values.data(), values.size());
  histogram.add(values.data(), 0);
  CHECK(total(histogram) == 6);
  CHECK(histogram.low() == -3.4e38F && histogram.high() == 3.4e38F);
  CHECK(histogram.counts()[CalibrationHistogram::kBins - 1] == 2);
}

TEST(a_range_that_doubles_loses_no_count) {
  CalibrationHistogram histogram;
  for (float size = 1e-30F; size < 1e30F; size *= 7) {
    const float both[]{size, -size / 3};
    histogram.add(both, 2);
    CHECK(histogram.width() * CalibrationHistogram::kBins > static_cast<double>(size));
  }
  CHECK(total(histogram) % 2 == 0 && total(histogram) > 100);
}

TEST(a_histogram_refuses_what_is_no_number) {
  CalibrationHistogram histogram;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float wrong :
       {nan, -nan, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    const float values[]{1.0F, wrong, 2.0F};
    bool refused = false;
    try {
      histogram.add(values, 3);
    } catch (const CoreError&) {
      refused = true;
    }
    CHECK(refused && total(histogram) == 0 && histogram.high() == 0);
  }
}
