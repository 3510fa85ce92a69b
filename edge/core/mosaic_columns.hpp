// The columns of a mosaic's row sums, for sixteen output rows at once: an output column is then a weighted
// sum of vectors, and nothing has to be summed across lanes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "preprocess_kernels.hpp"
#include "resample.hpp"

namespace edge {

class MosaicColumns {
 public:
  static constexpr int kRows = kernels::kBatch;

  // Room for frames of at most this width.
  void reserve(int width, int out_width);
  // `columns` as of move_ring_inwards, over a mosaic of this width.
  void build(const Windows& columns, int width);

  int origin() const { return origin_; }  // first source column, even
  int bytes() const { return bytes_; }    // source columns from there on

  // Row sums of one output row, grey level * 256; to be filled before take().
  uint16_t* row(int index) { return rows_.data() + static_cast<std::size_t>(index) * stride_; }
  // The rows are those of this plane: 0 even rows, 1 odd rows, 2 greens (see Preprocess::build_mosaic).
  void take(std::size_t plane);
  // All planes are taken: sums their columns.
  void sum();
  // One of the summed rows, out_width values each, grey level * 256.
  void read(int index, float* red, float* green, float* blue) const;

 private:
  int origin_ = 0, bytes_ = 0;
  std::size_t stride_ = 0, out_stride_ = 0;
  std::vector<int> starts_;     // first source column of each output, from the origin on
  std::vector<int> pair_ends_;  // where its weights end in pairs_
  std::vector<kernels::MosaicPair> pairs_;
  std::vector<uint16_t> rows_;                    // kRows x stride_
  std::array<std::vector<uint16_t>, 3> turned_;   // of each plane: stride_ x kRows
  std::array<std::vector<uint16_t>, 3> outputs_;  // red, green, blue: out_stride_ x kRows
  std::array<std::vector<uint16_t>, 3> colours_;  // the same turned: kRows x out_stride_
};

}  // namespace edge
