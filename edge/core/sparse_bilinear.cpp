#include "sparse_bilinear.hpp"

#include <algorithm>
#include <cstring>

#include "multiversion.hpp"

namespace edge {
namespace kernels {

// The second pixel of a word is in its second byte.
EDGE_MULTIVERSION
void blend_mono(const uint32_t* __restrict upper, const uint32_t* __restrict lower,
                const float* __restrict left, const float* __restrict right, float upper_weight,
                float lower_weight, std::size_t size, float* __restrict grey) {
  for (std::size_t i = 0; i < size; ++i) {
    const auto byte = [](uint32_t word, int k) {
      return static_cast<float>(static_cast<int32_t>(word >> 8 * k & 255));
    };
    grey[i] = upper_weight * (byte(upper[i], 0) * left[i] + byte(upper[i], 1) * right[i]) +
              lower_weight * (byte(lower[i], 0) * left[i] + byte(lower[i], 1) * right[i]);
  }
}

// Words are the pixels upper left, upper right, lower left, lower right: blue in the lowest byte.
EDGE_MULTIVERSION
void blend_colour(const uint32_t* __restrict w0, const uint32_t* __restrict w1, const uint32_t* __restrict w2,
                  const uint32_t* __restrict w3, const float* __restrict left, const float* __restrict right,
                  float upper_weight, float lower_weight, std::size_t size, float* __restrict red,
                  float* __restrict green, float* __restrict blue) {
  for (std::size_t i = 0; i < size; ++i) {
    const auto blend = [&](int shift) {
      const auto byte = [&](uint32_t word) {
        return static_cast<float>(static_cast<int32_t>(word >> shift & 255));
      };
      return upper_weight * (byte(w0[i]) * left[i] + byte(w1[i]) * right[i]) +
             lower_weight * (byte(w2[i]) * left[i] + byte(w3[i]) * right[i]);
    };
    blue[i] = blend(0);
    green[i] = blend(8);
    red[i] = blend(16);
  }
}

// Words are four rows of four mosaic sites around the four pixels to be blended, turned so that they read
//   y g y g
//   g X G x     X: red or blue, Y: the other; the capitals are the pixels
//   y G Y g
//   g x g x
// The bilinear demosaicing of the four pixels and their blend in one sum.
EDGE_MULTIVERSION
void blend_mosaic(const uint32_t* __restrict w0, const uint32_t* __restrict w1, const uint32_t* __restrict w2,
                  const uint32_t* __restrict w3, const float* __restrict left, const float* __restrict right,
                  float upper_weight, float lower_weight, std::size_t size, float* __restrict x,
                  float* __restrict green, float* __restrict y) {
  const float u = upper_weight;
  const float l = lower_weight;
  const float u_half = 0.5F * u;
  const float l_half = 0.5F * l;
  for (std::size_t i = 0; i < size; ++i) {
    const auto byte = [](uint32_t word, int k) {
      return static_cast<float>(static_cast<int32_t>(word >> 8 * k & 255));
    };
    const float a = left[i];
    const float b = right[i];
    const float a_half = 0.5F * a;
    const float b_half = 0.5F * b;
    x[i] = (byte(w1[i], 1) * (u + l_half) + byte(w3[i], 1) * l_half) * (a + b_half) +
           (byte(w1[i], 3) * (u + l_half) + byte(w3[i], 3) * l_half) * b_half;
    y[i] = (byte(w2[i], 2) * (l + u_half) + byte(w0[i], 2) * u_half) * (b + a_half) +
           (byte(w2[i], 0) * (l + u_half) + byte(w0[i], 0) * u_half) * a_half;
    const float at_x = u_half * a_half;  // a quarter of the weight of the pixel X
    const float at_y = l_half * b_half;
    green[i] = (byte(w0[i], 1) + byte(w1[i], 0)) * at_x + (byte(w3[i], 2) + byte(w2[i], 3)) * at_y +
               byte(w1[i], 2) * (at_x + at_y + u * b) + byte(w2[i], 1) * (at_x + at_y + l * a);
  }
}

}  // namespace kernels

namespace {

// Below this many source pixels for an output pixel the sums over whole rows are faster.
constexpr int kLeastShrink = 2;

template <typename Word>
uint32_t load(const uint8_t* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

}  // namespace

bool SparseBilinear::prepare(const Windows& rows, const Windows& cols, int width, int height,
                             PixelFormat format) {
  const int out = cols.size();
  const bool mosaic = format == PixelFormat::BAYER_RG8;
  const int margin = mosaic ? 1 : 0;  // read around the blended pixels
  const int least = 2 + 2 * margin;
  const int span = cols[out - 1].last() + 1 - cols[0].first;
  if (width < least || height < least || span < kLeastShrink * out) return false;
  format_ = format;
  rows_.clear();
  for (int i = 0; i < rows.size(); ++i) {
    const int first = std::min(rows[i].first, height - 2 - margin);
    rows_.push_back({first, 256.0F * rows[i].at(first), 256.0F * rows[i].at(first + 1)});
  }
  const int bytes_per_pixel = format == PixelFormat::BGR8 ? 3 : format == PixelFormat::BGRA8 ? 4 : 1;
  for (auto& sites : sites_) sites.clear();
  for (auto& weights : weights_) weights.clear();
  for (int i = 0; i < out; ++i) {
    const int first = std::min(cols[i].first, width - 2 - margin);
    const std::size_t parity = mosaic ? static_cast<std::size_t>(first % 2) : 0;
    sites_[parity].push_back({(first - margin) * bytes_per_pixel, i});
    weights_[parity].push_back(cols[i].at(first));
    weights_[1 - parity].push_back(cols[i].at(first + 1));
  }
  for (auto& words : words_) words.resize(static_cast<std::size_t>(out));
  return true;
}

// The three loops are bound by the number of instructions: unrolled, and with addresses that nothing can
// change.

void SparseBilinear::pick_mono(const uint8_t* upper, const uint8_t* lower) {
  const Site* __restrict const sites = sites_[0].data();
  const std::size_t size = sites_[0].size();
  uint32_t* __restrict const w0 = words_[0].data();
  uint32_t* __restrict const w1 = words_[1].data();
#pragma GCC unroll 8
  for (std::size_t i = 0; i < size; ++i) {
    const int offset = sites[i].offset;
    w0[i] = load<uint16_t>(upper + offset);
    w1[i] = load<uint16_t>(lower + offset);
  }
}

template <int Second, int Shift>
void SparseBilinear::pick_colour(const uint8_t* upper, const uint8_t* lower) {
  const Site* __restrict const sites = sites_[0].data();
  const std::size_t size = sites_[0].size();
  uint32_t* __restrict const w0 = words_[0].data();
  uint32_t* __restrict const w1 = words_[1].data();
  uint32_t* __restrict const w2 = words_[2].data();
  uint32_t* __restrict const w3 = words_[3].data();
#pragma GCC unroll 4
  for (std::size_t i = 0; i < size; ++i) {
    const int offset = sites[i].offset;
    w0[i] = load<uint32_t>(upper + offset);
    w1[i] = load<uint32_t>(upper + offset + Second) >> Shift;
    w2[i] = load<uint32_t>(lower + offset);
    w3[i] = load<uint32_t>(lower + offset + Second) >> Shift;
  }
}

template <bool Mirrored>
void SparseBilinear::pick_mosaic(const std::vector<Site>& picked, const uint8_t* top, int64_t stride) {
  const Site* __restrict const sites = picked.data();
  const std::size_t size = picked.size();
  const uint8_t* const rows[] = {top, top + stride, top + 2 * stride, top + 3 * stride};
  uint32_t* __restrict const w0 = words_[0].data();
  uint32_t* __restrict const w1 = words_[1].data();
  uint32_t* __restrict const w2 = words_[2].data();
  uint32_t* __restrict const w3 = words_[3].data();
  const auto turned = [](uint32_t word) { return Mirrored ? __builtin_bswap32(word) : word; };
#pragma GCC unroll 4
  for (std::size_t i = 0; i < size; ++i) {
    const auto [offset, output] = sites[i];
    w0[output] = turned(load<uint32_t>(rows[0] + offset));
    w1[output] = turned(load<uint32_t>(rows[1] + offset));
    w2[output] = turned(load<uint32_t>(rows[2] + offset));
    w3[output] = turned(load<uint32_t>(rows[3] + offset));
  }
}

void SparseBilinear::row(const uint8_t* pixels, int64_t stride, int out_row, float* red, float* green,
                         float* blue) {
  const RowPair pair = rows_[static_cast<std::size_t>(out_row)];
  const uint8_t* const upper = pixels + pair.first * stride;
  const auto& w = words_;
  const std::size_t size = w[0].size();
  switch (format_) {
    case PixelFormat::MONO8:
      pick_mono(upper, upper + stride);
      return kernels::blend_mono(w[0].data(), w[1].data(), weights_[0].data(), weights_[1].data(), pair.upper,
                                 pair.lower, size, red);
    case PixelFormat::BGR8:
    case PixelFormat::BGRA8:
      // Of three-byte pixels a word ends with the second pixel: nothing beyond the row is read.
      format_ == PixelFormat::BGR8 ? pick_colour<2, 8>(upper, upper + stride)
                                   : pick_colour<4, 0>(upper, upper + stride);
      return kernels::blend_colour(w[0].data(), w[1].data(), w[2].data(), w[3].data(), weights_[0].data(),
                                   weights_[1].data(), pair.upper, pair.lower, size, red, green, blue);
    case PixelFormat::BAYER_RG8: {
      // Red lies in even rows and columns, blue in odd ones: the parity of the row says which one is X.
      const bool odd = pair.first % 2 == 1;
      pick_mosaic<false>(sites_[odd ? 1 : 0], upper - stride, stride);
      pick_mosaic<true>(sites_[odd ? 0 : 1], upper - stride, stride);
      return kernels::blend_mosaic(w[0].data(), w[1].data(), w[2].data(), w[3].data(),
                                   weights_[odd ? 1 : 0].data(), weights_[odd ? 0 : 1].data(), pair.upper,
                                   pair.lower, size, odd ? blue : red, green, odd ? red : blue);
    }
  }
}

}  // namespace edge
