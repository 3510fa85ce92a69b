// The frame ring as a GPU sees it: a kernel reads a frame where the camera's driver put it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cuda_driver.hpp"
#include "region.hpp"

namespace edge {

class CudaRing {
 public:
  // Locks the pages of every slot and maps them for the context's GPU; both end with this. Once per region
  // and process: the driver refuses memory that is registered already. Throws CoreError: no driver, or what
  // it says.
  CudaRing(std::shared_ptr<Region> region, void* context, const std::string& library = "libcuda.so.1");
  ~CudaRing();
  CudaRing(const CudaRing&) = delete;
  CudaRing& operator=(const CudaRing&) = delete;

  // Where the pixels of a slot lie for the GPU.
  uint64_t device_address(uint64_t slot) const;
  // The same of pixels in a slot.
  uint64_t device_address(const uint8_t* pixels) const;

 private:
  const std::shared_ptr<Region> region_;
  const CudaDriver& driver_;
  void* const context_;
  uint64_t first_ = 0;  // of slot 0
};

}  // namespace edge
