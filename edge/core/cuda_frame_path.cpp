#include "cuda_frame_path.hpp"

#include <utility>

#include "cuda_preprocess.cuh"
#include "cuda_preprocess.hpp"
#include "error.hpp"

namespace edge {

CudaFramePath::CudaFramePath(std::shared_ptr<const CudaRing> ring, std::shared_ptr<CudaGraph> graph,
                             EdgeFrame* shown, const EdgeStats* counted, int64_t outputs)
    : ring_(std::move(ring)), graph_(std::move(graph)), shown_(shown), counted_(counted), outputs_(outputs) {
  if (!ring_ || !graph_ || !graph_->captured()) {
    throw CoreError("a frame path needs the frame ring and a captured graph");
  }
}

Seen CudaFramePath::run(const uint8_t* pixels, const Geometry& geometry, FrameStats& stats) noexcept {
  if (!door_.enter(shape_of(geometry))) return Seen::NOT_MINE;
  shown_->pixels = ring_->device_address(pixels);
  shown_->stride = geometry.stride;
  const bool done = graph_->run();
  if (done) stats = cuda_stats(*counted_, outputs_);
  door_.leave();
  return done ? Seen::DONE : Seen::FAILED;
}

}  // namespace edge
