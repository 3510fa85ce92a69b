// The inner loops of the preprocess, written so that the compiler vectorises them on any processor.
// "Sums" are grey levels * 256 in 16 bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace edge::kernels {

constexpr int kLanes = 8;   // floats that the column sums handle at once
constexpr int kGroup = 4;   // rows that are added in one go
constexpr int kBatch = 16;  // output rows of a mosaic that are worked on together
constexpr int kTurned = 8;  // side of the blocks that are transposed

constexpr int whole_vectors(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

struct RowGroup {
  const uint8_t* rows[kGroup];
  uint16_t even[kGroup];  // weights of even and odd bytes, 65536 is one
  uint16_t odd[kGroup];
  int count;
  bool first;  // sets the sums to `start` before it adds
  uint16_t start;
};

void sum_rows(const RowGroup& group, std::size_t length, uint16_t* sums);

// sums += row * weight, in float, for cells of many rows.
void add_row(const uint8_t* row, float even, float odd, std::size_t length, float* sums);

// Weighted sums over columns: output i starts at sums[starts[i]] and has `columns` weights.
// They read up to kLanes sums beyond the last weight.
void columns_mono(const uint16_t* sums, const int* starts, const float* weights, int columns, std::size_t out,
                  float* grey);
void columns_colour(const uint16_t* sums, int bytes_per_pixel, const int* starts, const float* weights,
                    int columns, std::size_t out, float* red, float* green, float* blue);

// Of a mosaic's columns, with kBatch output rows side by side for each column. Weights of an even column and
// the odd one after it; 65536 is one. Red lies on even columns of even rows, blue on odd ones of odd rows.
struct MosaicPair {
  uint16_t red_even, beside_even, direct_even, blue_odd, beside_odd, direct_odd;
};
// Planes: even rows, odd rows, greens for above and below; see Preprocess::build_mosaic. Column x of a plane
// starts at x * kBatch, and so does output i of a colour. Output i has the pairs up to pair_ends[i].
void columns_mosaic(const std::array<const uint16_t*, 3>& planes, const int* starts, const int* pair_ends,
                    const MosaicPair* pairs, std::size_t out, const std::array<uint16_t*, 3>& colours);
// Transposes; rows and columns are whole multiples of kTurned.
void turn(const uint16_t* from, std::size_t from_stride, std::size_t rows, std::size_t columns, uint16_t* to,
          std::size_t to_stride);
void widen(const uint16_t* from, std::size_t size, float* to);

void mix(const float* red, const float* green, const float* blue, const std::array<float, 3>& share,
         std::size_t size, float* luma);
void brightness(const float* luma, std::size_t size, int64_t& sum, int64_t& dark, int64_t& bright);
void to_float(const float* grey, float gain, float offset, std::size_t size, float* out);
void to_int8(const float* grey, float gain, float offset, std::size_t size, int8_t* out);

}  // namespace edge::kernels
