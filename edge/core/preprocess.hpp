// Frame to engine input in one pass: debayer, region of interest, resize, normalise, NCHW.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "flat_field.hpp"
#include "frame.hpp"
#include "mosaic_columns.hpp"
#include "resample.hpp"
#include "sparse_bilinear.hpp"

namespace edge {

struct Geometry {
  int64_t width;
  int64_t height;
  int64_t stride;  // bytes from one row to the next
  PixelFormat format;
};

// What a preprocess depends on: all but the stride. Never 0.
inline uint64_t shape_of(const Geometry& g) {
  return static_cast<uint64_t>(g.width) << 36U | static_cast<uint64_t>(g.height) << 8U |
         static_cast<uint64_t>(g.format);
}

// The geometry of a shape, with a stride of 0.
inline Geometry geometry_of_shape(uint64_t shape) {
  return {static_cast<int64_t>(shape >> 36U), static_cast<int64_t>(shape >> 8U & 0xFFFFFFFU), 0,
          static_cast<PixelFormat>(shape & 0xFFU)};
}

struct Roi {
  int x = 0;
  int y = 0;
  int width = 0;  // 0: the whole frame
  int height = 0;
};

enum class Element { FLOAT32, INT8 };

struct PreprocessSettings {
  int out_width = 0;
  int out_height = 0;
  int channels = 3;  // 3: R, G, B; 1: luma
  std::array<float, 3> mean{0.0F, 0.0F, 0.0F};
  std::array<float, 3> std{1.0F, 1.0F, 1.0F};
  bool area = true;  // else bilinear
  Roi roi;
  Element element = Element::FLOAT32;
  float int8_scale = 1.0F;
  std::shared_ptr<const FlatField> flat_field;  // null: none
};

// 0: not a format.
int bytes_per_pixel(PixelFormat format);

// What of the region lies inside the frame; a region without width is the whole frame.
Roi clip(const Roi& roi, const Geometry& geometry);

// Brightness of the region of interest on the output grid, before normalisation.
struct FrameStats {
  float mean = 0.0F;          // grey level 0..255
  float dark_share = 0.0F;    // at or below grey level 4
  float bright_share = 0.0F;  // at or above grey level 251
};

// What became of a frame where preprocess and inference are one. NOT_MINE: nothing, prepare the input
// yourself.
enum class Seen { DONE, FAILED, NOT_MINE };

// One thread at a time: the work buffers belong to the object. A copy has its own.
class Preprocess {
 public:
  // Throws CoreError, with what was found and expected.
  explicit Preprocess(const PreprocessSettings& settings);

  const PreprocessSettings& settings() const { return settings_; }
  std::size_t elements() const;  // of the output
  std::size_t output_bytes() const;
  // output = grey level * 256 * gain + offset
  float gain(std::size_t channel) const { return gain_[channel]; }
  float offset(std::size_t channel) const { return offset_[channel]; }

  // Empty when run() may be called with this geometry and that many bytes of pixels; else what is wrong.
  std::string check(const Geometry& geometry, std::size_t pixel_bytes) const;

  // Builds the tables for a checked geometry. Frames of the format that are not larger allocate nothing
  // afterwards.
  void prepare(const Geometry& geometry);

  // Fills `out` (output_bytes()). The geometry must have passed check(). Allocates only where the geometry
  // has changed and needs larger tables than any before.
  FrameStats run(const uint8_t* pixels, const Geometry& geometry, void* out) noexcept;

 private:
  // One source row in the weighted sum of an output row; weights of even and odd bytes, 65536 is one.
  struct RowTap {
    int row;
    float even;
    float odd;
  };
  // Which source rows make an output row; a mosaic has three such tables.
  struct RowTable {
    std::vector<RowTap> taps;
    std::vector<std::size_t> tap_begin;  // per output row, plus the end
    void reserve(int height, int out_height);
  };
  struct Brightness {
    int64_t sum = 0;  // grey level * 256
    int64_t dark = 0;
    int64_t bright = 0;
  };

  // The frame as an even sensor would have seen it, where it is looked at.
  const uint8_t* flattened(const uint8_t* pixels, const Geometry& geometry) noexcept;
  void reserve(int width, int height, PixelFormat format);
  void build_plain(int bytes_per_pixel);
  void build_mosaic(int width, int height);
  // Grey level * 256 of `bytes` columns from `origin` on.
  static void sum_rows(const RowTable& table, int out_row, const uint8_t* pixels, int64_t stride,
                       std::size_t bytes, uint16_t* sums);
  void run_mosaic(const uint8_t* pixels, int64_t stride, void* out, Brightness& brightness);
  void run_plain(const uint8_t* pixels, int64_t stride, void* out, Brightness& brightness);
  void sum_columns();
  void emit(int out_row, void* out, Brightness& brightness);

  PreprocessSettings settings_;
  std::array<float, 3> gain_{};  // output = grey level * 256 * gain + offset
  std::array<float, 3> offset_{};

  Geometry prepared_{0, 0, 0, PixelFormat::MONO8};
  Windows rows_;
  Windows cols_;
  Windows mosaic_rows_;
  Windows mosaic_cols_;
  SparseBilinear sparse_;
  bool is_sparse_ = false;
  std::array<RowTable, 3> tables_;  // of a mosaic: even rows, odd rows, greens; else the first only
  MosaicColumns mosaic_columns_;
  // Of other formats.
  int origin_ = 0;                     // first source byte of a row that is summed
  int bytes_ = 0;                      // how many are
  int columns_ = 0;                    // weights per output column
  std::vector<float> column_weights_;  // out_width x columns_
  std::vector<uint16_t> sums_;         // of one output row
  std::vector<int> column_start_;
  std::array<std::vector<float>, 3> channels_;  // one output row, R G B (or grey), grey level * 256
  std::vector<float> luma_;
  std::vector<uint8_t> flattened_;  // a whole frame without padding
};

}  // namespace edge
