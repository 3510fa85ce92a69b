// Dark and flat-field correction: each sample of the sensor is brought to what an even sensor under even
// light would have seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace edge {

// corrected = (value - dark / 256) * gain / 16384, rounded and kept within 0..255; one entry per byte of a
// frame without padding.
struct FlatField {
  static constexpr int kDarkBits = 8;
  static constexpr int kGainBits = 14;
  int width = 0;
  int height = 0;
  int samples = 0;  // bytes per pixel
  std::vector<uint16_t> dark;
  std::vector<uint16_t> gain;

  std::size_t row_bytes() const {
    return static_cast<std::size_t>(width) * static_cast<std::size_t>(samples);
  }
};

// Throws CoreError, with what was found and expected.
std::shared_ptr<const FlatField> make_flat_field(int width, int height, int samples, const uint16_t* dark,
                                                 const uint16_t* gain);

void correct(const uint8_t* values, const uint16_t* dark, const uint16_t* gain, std::size_t size,
             uint8_t* out);

}  // namespace edge
