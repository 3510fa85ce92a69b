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
typedef uint16_t Words4 __attribute__((vector_size(8)));

constexpr Ints8 kOddLanes{0, -1, 0, -1, 0, -1, 0, -1};
constexpr std::size_t kTogether = 4;

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

// Of one output of a mosaic: red in the even and blue in the odd lanes, and green in all lanes of the other.
struct MosaicSums {
  Floats4 red_blue, green;
};

EDGE_INLINE Floats4 fold(const Floats8& total) {
  Floats4 half[2];
  std::memcpy(half, &total, sizeof half);
  return half[0] + half[1];
}

EDGE_INLINE MosaicSums mosaic_sums(const std::array<const uint16_t*, 3>& sums,
                                   const std::array<const float*, 3>& weights, std::size_t at, int start,
                                   int columns) {
  Floats8 even_rows{};
  Floats8 odd_rows{};
  Floats8 greens{};
  for (int k = 0; k < columns; k += kLanes, at += kLanes) {
    add_weighted(sums[0] + start + k, weights[0] + at, even_rows);
    add_weighted(sums[1] + start + k, weights[1] + at, odd_rows);
    add_weighted(sums[2] + start + k, weights[2] + at, greens);
  }
  // Even rows are R G R G, odd rows G B G B.
  return {fold(kOddLanes ? odd_rows : even_rows), fold((kOddLanes ? even_rows : odd_rows) + greens)};
}

template <int A, int B, int C, int D>
EDGE_INLINE Floats4 pick(const Floats4& low, const Floats4& high) {
  return __builtin_shufflevector(low, high, A, B, C, D);
}

EDGE_INLINE void store(const Floats4& value, float* to) { std::memcpy(to, &value, sizeof value); }

// Sums across the lanes of four outputs at once: one by one they would take longer than the products.
EDGE_INLINE void store_four(const std::array<MosaicSums, 4>& o, float* red, float* green, float* blue) {
  const auto halves = [](const Floats4& a, const Floats4& b) {
    return pick<0, 1, 4, 5>(a, b) + pick<2, 3, 6, 7>(a, b);
  };
  const Floats4 first = halves(o[0].red_blue, o[1].red_blue);
  const Floats4 second = halves(o[2].red_blue, o[3].red_blue);
  store(pick<0, 2, 4, 6>(first, second), red);
  store(pick<1, 3, 5, 7>(first, second), blue);
  const Floats4 g01 = halves(o[0].green, o[1].green);
  const Floats4 g23 = halves(o[2].green, o[3].green);
  store(pick<0, 2, 4, 6>(g01, g23) + pick<1, 3, 5, 7>(g01, g23), green);
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
void columns_mosaic(const std::array<const uint16_t*, 3>& sums, const std::array<const float*, 3>& weights,
                    const int* starts, int columns, std::size_t out, float* red, float* green, float* blue) {
  const auto step = static_cast<std::size_t>(columns);
  const auto of = [&](std::size_t i) { return mosaic_sums(sums, weights, i * step, starts[i], columns); };
  std::size_t i = 0;
  for (; i + kTogether <= out; i += kTogether) {
    store_four({of(i), of(i + 1), of(i + 2), of(i + 3)}, red + i, green + i, blue + i);
  }
  for (; i < out; ++i) {
    const MosaicSums last = of(i);
    red[i] = last.red_blue[0] + last.red_blue[2];
    blue[i] = last.red_blue[1] + last.red_blue[3];
    green[i] = (last.green[0] + last.green[2]) + (last.green[1] + last.green[3]);
  }
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
