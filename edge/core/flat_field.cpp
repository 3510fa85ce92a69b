#include "flat_field.hpp"

#include <algorithm>
#include <string>

#include "error.hpp"
#include "multiversion.hpp"

namespace edge {

std::shared_ptr<const FlatField> make_flat_field(int width, int height, int samples, const uint16_t* dark,
                                                 const uint16_t* gain) {
  if (width < 1 || height < 1 || (samples != 1 && samples != 3 && samples != 4)) {
    throw CoreError("flat field: " + std::to_string(width) + " x " + std::to_string(height) + " with " +
                    std::to_string(samples) + " samples a pixel found, a frame of 1, 3 or 4 expected");
  }
  const std::size_t size =
      static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * static_cast<std::size_t>(samples);
  auto made = std::make_shared<FlatField>();
  made->width = width;
  made->height = height;
  made->samples = samples;
  made->dark.assign(dark, dark + size);
  made->gain.assign(gain, gain + size);
  return made;
}

// The largest product, 65280 * 65535 + half, is below 2^32.
EDGE_MULTIVERSION void correct(const uint8_t* __restrict values, const uint16_t* __restrict dark,
                               const uint16_t* __restrict gain, std::size_t size, uint8_t* __restrict out) {
  constexpr int shift = FlatField::kDarkBits + FlatField::kGainBits;
  constexpr uint32_t half = 1U << (shift - 1);
  for (std::size_t i = 0; i < size; ++i) {
    const auto value = static_cast<uint32_t>(values[i]) << FlatField::kDarkBits;
    const uint32_t above = value > dark[i] ? value - dark[i] : 0U;
    const uint32_t corrected = (above * gain[i] + half) >> shift;
    out[i] = static_cast<uint8_t>(std::min(corrected, 255U));
  }
}

}  // namespace edge
