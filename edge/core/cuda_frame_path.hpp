// From a frame in its slot of the ring to the scores, as one CUDA graph: preprocess kernel and inference.
#pragma once

#include <cstdint>
#include <memory>

#include "cuda_graph.hpp"
#include "cuda_ring.hpp"
#include "frame_door.hpp"
#include "preprocess.hpp"

struct EdgeFrame;
struct EdgeStats;

namespace edge {

class CudaFramePath {
 public:
  // `shown` is where the captured kernel looks for its frame, `counted` where it leaves the brightness; both
  // are mapped and outlive this. `outputs`: pixels of the engine's input.
  CudaFramePath(std::shared_ptr<const CudaRing> ring, std::shared_ptr<CudaGraph> graph, EdgeFrame* shown,
                const EdgeStats* counted, int64_t outputs);

  // Open for frames of which the kernel has the tables. They are changed while it is closed; a graph that is
  // late may read them meanwhile, and nobody asks what came of it.
  FrameDoor& door() { return door_; }

  // NOT_MINE: closed, or a frame of another shape; nothing was done. FAILED: as CudaGraph::run. A frame whose
  // graph is late may go back to the camera: what the GPU makes of it is not looked at.
  Seen run(const uint8_t* pixels, const Geometry& geometry, FrameStats& stats) noexcept;

 private:
  const std::shared_ptr<const CudaRing> ring_;
  const std::shared_ptr<CudaGraph> graph_;
  EdgeFrame* const shown_;
  const EdgeStats* const counted_;
  const int64_t outputs_;
  FrameDoor door_;
};

}  // namespace edge
