// What a frame is: the numbers are on the wire of the shared region, never renumber.
#pragma once

#include <cstdint>

namespace edge {

enum class PixelFormat : uint32_t {
  MONO8 = 1,
  BAYER_RG8 = 2,  // GenICam naming: first row R G; OpenCV calls the same mosaic BayerBG
  BGR8 = 3,
  BGRA8 = 4,
};

enum class FrameStatus : uint32_t {
  OK = 0,
  INCOMPLETE = 1,  // packets missing
  CORRUPT = 2,     // could not be decoded
  OVERSIZE = 3,    // larger than a ring slot
  STALE = 4,       // exposed before the camera was opened (again)
  UNLIT = 5,       // the light controller did not have its values
};

}  // namespace edge
