#include "cuda_ring.hpp"

#include <utility>

namespace edge {
namespace {

constexpr unsigned kEveryContext = 1, kMapped = 2;  // CU_MEMHOSTREGISTER_PORTABLE, …_DEVICEMAP

}  // namespace

CudaRing::CudaRing(std::shared_ptr<Region> region, void* context, const std::string& library)
    : region_(std::move(region)), driver_(CudaDriver::load(library)), context_(context) {
  driver_.check(driver_.ctx_set_current(context_), "cuCtxSetCurrent");
  driver_.check(
      driver_.mem_host_register(region_->pixels(0), region_->pixels_bytes(), kEveryContext | kMapped),
      "cuMemHostRegister");
  const int result = driver_.mem_host_get_device_pointer(&first_, region_->pixels(0), 0);
  if (result != CudaDriver::kSuccess) driver_.mem_host_unregister(region_->pixels(0));
  driver_.check(result, "cuMemHostGetDevicePointer");
}

CudaRing::~CudaRing() {
  driver_.ctx_set_current(context_);
  driver_.mem_host_unregister(region_->pixels(0));
}

uint64_t CudaRing::device_address(uint64_t slot) const { return device_address(region_->pixels(slot)); }

uint64_t CudaRing::device_address(const uint8_t* pixels) const {
  return first_ + static_cast<uint64_t>(pixels - region_->pixels(0));
}

}  // namespace edge
