#include "preprocess_kernels.hpp"

#include <algorithm>
#include <cstring>

#include "multiversion.hpp"

#define EDGE_INLINE inline __attribute__((always_inline))

namespace edge::kernels {
namespace {

// GNU vectors: GCC and Clang lower them to what the processor has.
typedef float Floats8 __attribute__((vector_size(32)));
typedef float Floats4 __attribute__((vector_size(16)));
typedef int32_t Ints8 __attribute__((vector_size(32)));
typedef int32_t Ints4 __attribute__((vector_size(16)));
typedef uint16_t Words8 __attribute__((vector_size(16)));
typedef int64_t Longs2 __attribute__((vector_size(16)));
typedef uint16_t Words4 __attribute__((vector_size(8)));

// The high half of a 16-bit product: one instruction where there is one.
EDGE_INLINE uint16_t weigh(uint8_t value, uint16_t weight) {
  const auto left = static_cast<uint16_t>(value << 8);
  return static_cast<uint16_t>((static_cast<uint32_t>(left) * weight) >> 16);
}

template <int Count, bool First>
EDGE_INLINE void sum_group(const RowGroup& group, std::size_t length, uint16_t* __restrict sums) {
  const RowGroup g = group;
  const auto at = [&](std::size_t x, const uint16_t* weights) {
    uint16_t sum = First ? g.start : sums[x];
    for (int k = 0; k < Count; ++k) sum = static_cast<uint16_t>(sum + weigh(g.rows[k][x], weights[k]));
    return sum;
  };
  const std::size_t pairs = length & ~static_cast<std::size_t>(1);
  for (std::size_t x = 0; x < pairs; x += 2) {
    sums[x] = at(x, g.even);
    sums[x + 1] = at(x + 1, g.odd);
  }
  if (pairs < length) sums[pairs] = at(pairs, g.even);
}

template <int Count>
EDGE_INLINE void sum_group(const RowGroup& group, std::size_t length, uint16_t* sums) {
  group.first ? sum_group<Count, true>(group, length, sums) : sum_group<Count, false>(group, length, sums);
}

EDGE_INLINE void add_weighted(const uint16_t* sums, const float* weights, Floats8& total) {
  // A loop: GCC makes one instruction of it, of the conversion of a vector four.
  Ints8 wide;
  for (int lane = 0; lane < kLanes; ++lane) wide[lane] = sums[lane];
  Floats8 weight;
  std::memcpy(&weight, weights, sizeof weight);
  total += __builtin_convertvector(wide, Floats8) * weight;
}

EDGE_INLINE Floats4 fold(const Floats8& total) {
  Floats4 half[2];
  std::memcpy(half, &total, sizeof half);
  return half[0] + half[1];
}

EDGE_INLINE uint16_t high_half(uint16_t value, uint16_t weight) {
  return static_cast<uint16_t>((static_cast<uint32_t>(value) * weight) >> 16);
}

EDGE_INLINE Words8 low(const Words8& a, const Words8& b) {
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
EDGE_INLINE Words8 high(const Words8& a, const Words8& b) {
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
EDGE_INLINE Ints4 low(const Ints4& a, const Ints4& b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
EDGE_INLINE Ints4 high(const Ints4& a, const Ints4& b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
EDGE_INLINE Longs2 low(const Longs2& a, const Longs2& b) { return __builtin_shufflevector(a, b, 0, 2); }
EDGE_INLINE Longs2 high(const Longs2& a, const Longs2& b) { return __builtin_shufflevector(a, b, 1, 3); }

// Pairs of rows, of pairs, of fours are interleaved: eight by eight words transposed.
EDGE_INLINE void turn_block(const uint16_t* from, std::size_t from_stride, uint16_t* to,
                            std::size_t to_stride) {
  Words8 rows[8];
  Ints4 pairs[8];
  Longs2 fours[8];
  for (std::size_t r = 0; r < 8; ++r) std::memcpy(&rows[r], from + r * from_stride, sizeof rows[r]);
  for (int k = 0; k < 4; ++k) {
    pairs[2 * k] = reinterpret_cast<Ints4>(low(rows[2 * k], rows[2 * k + 1]));
    pairs[2 * k + 1] = reinterpret_cast<Ints4>(high(rows[2 * k], rows[2 * k + 1]));
  }
  for (int k = 0; k < 8; k += 4) {
    for (int j = 0; j < 2; ++j) {
      fours[k + 2 * j] = reinterpret_cast<Longs2>(low(pairs[k + j], pairs[k + j + 2]));
      fours[k + 2 * j + 1] = reinterpret_cast<Longs2>(high(pairs[k + j], pairs[k + j + 2]));
    }
  }
  for (std::size_t j = 0; j < 4; ++j) {
    const Longs2 columns[2] = {low(fours[j], fours[j + 4]), high(fours[j], fours[j + 4])};
    std::memcpy(to + 2 * j * to_stride, &columns[0], sizeof columns[0]);
    std::memcpy(to + (2 * j + 1) * to_stride, &columns[1], sizeof columns[1]);
  }
}

}  // namespace

EDGE_MULTIVERSION
void sum_rows(const RowGroup& group, std::size_t length, uint16_t* sums) {
  switch (group.count) {
    case 0:
      return sum_group<0>(group, length, sums);
    case 1:
      return sum_group<1>(group, length, sums);
    case 2:
      return sum_group<2>(group, length, sums);
    case 3:
      return sum_group<3>(group, length, sums);
    default:
      return sum_group<4>(group, length, sums);
  }
}

EDGE_MULTIVERSION
void add_row(const uint8_t* __restrict row, float even, float odd, std::size_t length,
             float* __restrict sums) {
  const std::size_t pairs = length & ~static_cast<std::size_t>(1);
  for (std::size_t x = 0; x < pairs; x += 2) {
    sums[x] += static_cast<float>(row[x]) * even;
    sums[x + 1] += static_cast<float>(row[x + 1]) * odd;
  }
  if (pairs < length) sums[pairs] += static_cast<float>(row[pairs]) * even;
}

EDGE_MULTIVERSION
void columns_mono(const uint16_t* sums, const int* starts, const float* weights, int columns, std::size_t out,
                  float* grey) {
  for (std::size_t i = 0; i < out; ++i, weights += columns) {
    Floats8 total{};
    for (int k = 0; k < columns; k += kLanes) add_weighted(sums + starts[i] + k, weights + k, total);
    const Floats4 half = fold(total);
    grey[i] = (half[0] + half[2]) + (half[1] + half[3]);
  }
}

EDGE_MULTIVERSION
void columns_colour(const uint16_t* sums, int bytes_per_pixel, const int* starts, const float* weights,
                    int columns, std::size_t out, float* red, float* green, float* blue) {
  for (std::size_t i = 0; i < out; ++i, weights += columns) {
    Floats4 total{};
    const uint16_t* pixel = sums + starts[i];
    for (int k = 0; k < columns; ++k, pixel += bytes_per_pixel) {
      Words4 words;
      std::memcpy(&words, pixel, sizeof words);
      total += __builtin_convertvector(__builtin_convertvector(words, Ints4), Floats4) * weights[k];
    }
    blue[i] = total[0];
    green[i] = total[1];
    red[i] = total[2];
  }
}

EDGE_MULTIVERSION
void columns_mosaic(const std::array<const uint16_t*, 3>& planes, const int* starts, const int* pair_ends,
                    const MosaicPair* pairs, std::size_t out, const std::array<uint16_t*, 3>& colours) {
  constexpr std::size_t rows = kBatch;
  const uint16_t* const __restrict even = planes[0];
  const uint16_t* const __restrict odd = planes[1];
  const uint16_t* const __restrict greens = planes[2];
  int pair = 0;
  for (std::size_t i = 0; i < out; ++i) {
    std::size_t at = static_cast<std::size_t>(starts[i]) * rows;
    uint16_t red[rows], green[rows], blue[rows];
    // Each product is cut off, by half a unit on average.
    const auto count = static_cast<uint16_t>(pair_ends[i] - pair);
    for (std::size_t r = 0; r < rows; ++r) {
      red[r] = blue[r] = count / 2;
      green[r] = static_cast<uint16_t>(2 * count);
    }
    for (; pair < pair_ends[i]; ++pair, at += 2 * rows) {
      const MosaicPair w = pairs[pair];
      for (std::size_t r = 0; r < rows; ++r) {
        const std::size_t next = at + rows + r;
        red[r] = static_cast<uint16_t>(red[r] + high_half(even[at + r], w.red_even));
        blue[r] = static_cast<uint16_t>(blue[r] + high_half(odd[next], w.blue_odd));
        green[r] = static_cast<uint16_t>(
            green[r] + high_half(odd[at + r], w.beside_even) + high_half(greens[at + r], w.direct_even) +
            high_half(even[next], w.beside_odd) + high_half(greens[next], w.direct_odd));
      }
    }
    std::memcpy(colours[0] + i * rows, red, sizeof red);
    std::memcpy(colours[1] + i * rows, green, sizeof green);
    std::memcpy(colours[2] + i * rows, blue, sizeof blue);
  }
}

EDGE_MULTIVERSION
void turn(const uint16_t* from, std::size_t from_stride, std::size_t rows, std::size_t columns, uint16_t* to,
          std::size_t to_stride) {
  for (std::size_t y = 0; y < rows; y += kTurned) {
    for (std::size_t x = 0; x < columns; x += kTurned) {
      turn_block(from + y * from_stride + x, from_stride, to + x * to_stride + y, to_stride);
    }
  }
}

EDGE_MULTIVERSION
void widen(const uint16_t* __restrict from, std::size_t size, float* __restrict to) {
  for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
}

EDGE_MULTIVERSION
void mix(const float* __restrict red, const float* __restrict green, const float* __restrict blue,
         const std::array<float, 3>& share, std::size_t size, float* __restrict luma) {
  const std::array<float, 3> s = share;
  for (std::size_t i = 0; i < size; ++i) luma[i] = s[0] * red[i] + s[1] * green[i] + s[2] * blue[i];
}

EDGE_MULTIVERSION
void brightness(const float* luma, std::size_t size, int64_t& sum, int64_t& dark, int64_t& bright) {
  // Halfway between grey levels: "at or below 4" is meant of rounded levels.
  constexpr int32_t dark_limit = 4 * 256 + 128;
  constexpr int32_t bright_limit = 251 * 256 - 128;
  constexpr std::size_t most = 16384;  // of 16 bits each, summed in 32
  for (std::size_t from = 0; from < size; from += most) {
    const std::size_t end = std::min(size, from + most);
    int32_t total = 0;
    int32_t darks = 0;
    int32_t brights = 0;
    for (std::size_t i = from; i < end; ++i) {
      const auto level = static_cast<int32_t>(luma[i] + 0.5F);
      total += level;
      darks += level < dark_limit;
      brights += level >= bright_limit;
    }
    sum += total;
    dark += darks;
    bright += brights;
  }
}

EDGE_MULTIVERSION
void to_float(const float* __restrict grey, float gain, float offset, std::size_t size,
              float* __restrict out) {
  for (std::size_t i = 0; i < size; ++i) out[i] = grey[i] * gain + offset;
}

EDGE_MULTIVERSION
void to_int8(const float* __restrict grey, float gain, float offset, std::size_t size,
             int8_t* __restrict out) {
  // Adding 1.5 * 2^23 leaves no bits for a fraction: rounds half to even like NumPy, and vectorises.
  constexpr float rounder = 12582912.0F;
  for (std::size_t i = 0; i < size; ++i) {
    const float value = std::min(std::max(grey[i] * gain + offset, -128.0F), 127.0F);
    out[i] = static_cast<int8_t>(static_cast<int32_t>((value + rounder) - rounder));
  }
}

}  // namespace edge::kernels
