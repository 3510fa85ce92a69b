// Bilinear where the picture shrinks: four source pixels for an output pixel, however far apart they lie, so
// they are picked one by one and the arithmetic is done on the picked ones.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "frame.hpp"
#include "resample.hpp"

namespace edge {

class SparseBilinear {
 public:
  // Takes the windows of a bilinear resize in frame coordinates (of a mosaic: after move_ring_inwards). False
  // where the picture does not shrink enough, or is too small to read whole groups of pixels from it.
  bool prepare(const Windows& rows, const Windows& cols, int width, int height, PixelFormat format);

  // One output row as grey level * 256. A mono frame fills `red` only.
  void row(const uint8_t* pixels, int64_t stride, int out_row, float* red, float* green, float* blue);

 private:
  struct RowPair {
    int first;
    float upper;  // weights * 256
    float lower;
  };
  struct Site {
    int offset;  // bytes from the start of the row
    int output;
  };

  void pick_mono(const uint8_t* upper, const uint8_t* lower);
  template <int Second, int Shift>
  void pick_colour(const uint8_t* upper, const uint8_t* lower);
  template <bool Mirrored>
  void pick_mosaic(const std::vector<Site>& picked, const uint8_t* top, int64_t stride);

  PixelFormat format_ = PixelFormat::MONO8;
  std::vector<RowPair> rows_;
  // Of a mosaic: those whose left pixel is in an even column, those in an odd one. Else all are in the first.
  std::array<std::vector<Site>, 2> sites_;
  // Weights of the left and the right pixel; of a mosaic: of the pixel in the even and in the odd column.
  std::array<std::vector<float>, 2> weights_;
  std::array<std::vector<uint32_t>, 4> words_;
};

}  // namespace edge
