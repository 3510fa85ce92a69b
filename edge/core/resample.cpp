#include "resample.hpp"

#include <algorithm>
#include <cmath>

namespace edge {
namespace {

// A sliver of a cell below this is left out, as in OpenCV (computeResizeAreaTab).
constexpr double kSliver = 1e-3;

void push_pair(int in, int left, float share, int origin, Windows& windows) {
  const int first = std::clamp(left, 0, in - 1);
  const int second = std::clamp(left + 1, 0, in - 1);
  windows.begin(origin + first);
  if (first == second || share <= 0.0F) {
    windows.push(1.0F);
    return;
  }
  windows.push(1.0F - share);
  windows.push(share);
}

void fill_bilinear(int in, int out, int origin, Windows& windows) {
  const double scale = static_cast<double>(in) / out;
  for (int i = 0; i < out; ++i) {
    const auto position = static_cast<float>((i + 0.5) * scale - 0.5);
    const int left = static_cast<int>(std::floor(position));
    push_pair(in, left, position - static_cast<float>(left), origin, windows);
  }
}

void fill_growing(int in, int out, int origin, Windows& windows) {
  const double inverse = static_cast<double>(out) / in;
  // Not in / out: where a position falls on a whole pixel, the last bit decides which neighbour OpenCV takes.
  const double scale = 1.0 / inverse;
  for (int i = 0; i < out; ++i) {
    const int left = static_cast<int>(std::floor(i * scale));
    const auto position = static_cast<float>((i + 1) - (left + 1) * inverse);
    push_pair(in, left, position <= 0.0F ? 0.0F : position - std::floor(position), origin, windows);
  }
}

void fill_area(int in, int out, int origin, Windows& windows) {
  const double scale = static_cast<double>(in) / out;
  for (int i = 0; i < out; ++i) {
    const double from = i * scale;
    const double to = from + scale;
    const double cell = std::min(scale, in - from);
    const int last = std::min(static_cast<int>(std::floor(to)), in - 1);
    const int whole = std::min(static_cast<int>(std::ceil(from)), last);
    const bool head = whole - from > kSliver;
    windows.begin(origin + (head ? whole - 1 : whole));
    if (head) windows.push(static_cast<float>((whole - from) / cell));
    for (int x = whole; x < last; ++x) windows.push(static_cast<float>(1.0 / cell));
    if (to - last > kSliver) windows.push(static_cast<float>(std::min({to - last, 1.0, cell}) / cell));
  }
}

}  // namespace

void Windows::reserve(int in, int out) {
  starts_.clear();
  weights_.clear();
  starts_.reserve(static_cast<std::size_t>(out));
  // Cells may be cut at both ends, so an output has up to two weights more than its share.
  weights_.reserve(static_cast<std::size_t>(in) + 3 * static_cast<std::size_t>(out));
}

void Windows::reserve_like(const Windows& other) {
  starts_.clear();
  weights_.clear();
  starts_.reserve(other.starts_.capacity());
  weights_.reserve(other.weights_.capacity());
}

Windows::View Windows::operator[](int output) const {
  const auto index = static_cast<std::size_t>(output);
  const std::size_t end = index + 1 < starts_.size() ? starts_[index + 1].offset : weights_.size();
  const Start& start = starts_[index];
  return {start.first, static_cast<int>(end - start.offset), weights_.data() + start.offset};
}

int Windows::widest() const {
  int widest = 0;
  for (int i = 0; i < size(); ++i) widest = std::max(widest, (*this)[i].count);
  return widest;
}

Sampling sampling_for(bool area, int in_width, int in_height, int out_width, int out_height) {
  if (!area) return Sampling::BILINEAR;
  return in_width < out_width || in_height < out_height ? Sampling::AREA_GROWING : Sampling::AREA;
}

void fill_windows(Sampling sampling, int in, int out, int origin, Windows& windows) {
  windows.reserve(in, out);
  switch (sampling) {
    case Sampling::BILINEAR:
      return fill_bilinear(in, out, origin, windows);
    case Sampling::AREA:
      return fill_area(in, out, origin, windows);
    case Sampling::AREA_GROWING:
      return fill_growing(in, out, origin, windows);
  }
}

void move_ring_inwards(int size, const Windows& from, Windows& to) {
  to.reserve_like(from);
  for (int i = 0; i < from.size(); ++i) {
    const Windows::View window = from[i];
    const int low = size < 3 ? window.first : std::clamp(window.first, 1, size - 2);
    const int high = size < 3 ? window.last() : std::clamp(window.last(), 1, size - 2);
    to.begin(low);
    for (int index = low; index <= high; ++index) {
      float weight = window.at(index);
      if (size >= 3 && index == 1) weight += window.at(0);
      if (size >= 3 && index == size - 2) weight += window.at(size - 1);
      to.push(weight);
    }
  }
}

MosaicWeights mosaic_weights(const Windows::View& window, int size, int index) {
  const float direct = window.at(index);
  // Two rows or columns: both neighbours of one are the other.
  const float sides = size < 3 ? 2.0F * window.at(1 - index) : window.at(index - 1) + window.at(index + 1);
  return {direct, direct + 0.5F * sides, direct + 0.25F * sides, 0.25F * sides};
}

}  // namespace edge
