#include "mosaic_columns.hpp"

#include <algorithm>
#include <cmath>

namespace edge {
namespace {

constexpr int kBlock = kernels::kTurned;

std::size_t whole_blocks(int count) {
  return static_cast<std::size_t>((count + kBlock - 1) / kBlock * kBlock);
}

// Rounds a row of weights to 16 bits and hands each error on to the next, so that their sum stays what it
// was.
class Rounding {
 public:
  uint16_t operator()(float weight) {
    const double wanted = static_cast<double>(weight) * 65536.0 + error_;
    const auto given = static_cast<uint16_t>(std::clamp(std::lround(wanted), 0L, 65535L));
    error_ = weight == 0.0F ? error_ : wanted - given;
    return weight == 0.0F ? uint16_t{0} : given;
  }

 private:
  double error_ = 0;
};

}  // namespace

void MosaicColumns::reserve(int width, int out_width) {
  const auto outputs = static_cast<std::size_t>(out_width);
  // A pair may end one column beyond the frame.
  stride_ = whole_blocks(width + 1);
  out_stride_ = whole_blocks(out_width);
  starts_.clear();
  pair_ends_.clear();
  pairs_.clear();
  starts_.reserve(outputs);
  pair_ends_.reserve(outputs);
  // A window takes part of a pair at both ends, and a neighbour on both sides.
  pairs_.reserve(static_cast<std::size_t>(width) / 2 + 4 * outputs);
  rows_.assign(stride_ * kRows, 0);
  for (auto& plane : turned_) plane.assign(stride_ * kRows, 0);
  for (auto& colour : outputs_) colour.assign(out_stride_ * kRows, 0);
  for (auto& colour : colours_) colour.assign(out_stride_ * kRows, 0);
}

void MosaicColumns::build(const Windows& columns, int width) {
  const auto first_of = [](const Windows::View& window) { return std::max(window.first - 1, 0) & ~1; };
  const auto end_of = [&](const Windows::View& window) { return std::min(window.last() + 2, width); };
  origin_ = first_of(columns[0]);
  bytes_ = end_of(columns[columns.size() - 1]) - origin_;
  for (int i = 0; i < columns.size(); ++i) {
    const Windows::View window = columns[i];
    const int first = first_of(window);
    Rounding red, green, blue;
    for (int x = first; x < end_of(window); x += 2) {
      const MosaicWeights even = mosaic_weights(window, width, x);
      const MosaicWeights odd = x + 1 < width ? mosaic_weights(window, width, x + 1) : MosaicWeights{};
      kernels::MosaicPair pair{};
      pair.red_even = red(even.hat);
      pair.beside_even = green(even.beside);
      pair.direct_even = green(even.direct);
      pair.blue_odd = blue(odd.hat);
      pair.beside_odd = green(odd.beside);
      pair.direct_odd = green(odd.direct);
      pairs_.push_back(pair);
    }
    starts_.push_back(first - origin_);
    pair_ends_.push_back(static_cast<int>(pairs_.size()));
  }
}

void MosaicColumns::take(std::size_t plane) {
  kernels::turn(rows_.data(), stride_, kRows, whole_blocks(bytes_), turned_[plane].data(), kRows);
}

void MosaicColumns::sum() {
  kernels::columns_mosaic({turned_[0].data(), turned_[1].data(), turned_[2].data()}, starts_.data(),
                          pair_ends_.data(), pairs_.data(), starts_.size(),
                          {outputs_[0].data(), outputs_[1].data(), outputs_[2].data()});
  for (std::size_t c = 0; c < 3; ++c) {
    kernels::turn(outputs_[c].data(), kRows, out_stride_, kRows, colours_[c].data(), out_stride_);
  }
}

void MosaicColumns::read(int index, float* red, float* green, float* blue) const {
  const std::array<float*, 3> to{red, green, blue};
  for (std::size_t c = 0; c < 3; ++c) {
    const uint16_t* const from = colours_[c].data() + static_cast<std::size_t>(index) * out_stride_;
    kernels::widen(from, starts_.size(), to[c]);
  }
}

}  // namespace edge
