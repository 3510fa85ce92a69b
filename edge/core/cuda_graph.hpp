// A CUDA graph: captured once, launched per frame from the native loop, waited for with a limit.
#pragma once

#include <cstdint>
#include <string>

#include "clock.hpp"
#include "cuda_driver.hpp"

namespace edge {

enum class Waited { DONE, LATE, FAILED };

// Asks until it is done or the time is over. `query` gives CudaDriver::kSuccess, kNotReady or an error. It
// spins: an inference is shorter than what a sleep may cost, and the limit is a few of them.
template <typename Query>
Waited wait_bounded(Query&& query, int64_t end_ns) {
  for (;;) {
    const int result = query();
    if (result == CudaDriver::kSuccess) return Waited::DONE;
    if (result != CudaDriver::kNotReady) return Waited::FAILED;
    if (now_ns() >= end_ns) return Waited::LATE;
    relax();
  }
}

class CudaGraph {
 public:
  // `context` and `stream` are the driver's handles and outlive this. Throws CoreError: no driver.
  CudaGraph(void* context, void* stream, int64_t timeout_ns, const std::string& library = "libcuda.so.1");
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  // What goes into the stream between the two becomes the graph. Throw CoreError; after a failure the stream
  // is as before and work goes on without a graph.
  void begin_capture();
  void end_capture();
  bool captured() const { return executable_ != nullptr; }

  // Launches and waits, from any thread, without allocation or lock. False: it failed, or is late. One that
  // is late is still in the GPU and owns its buffers: until it is done nothing is launched, and this answers
  // at once.
  bool run() noexcept;

 private:
  const CudaDriver& driver_;
  void* const context_;
  void* const stream_;
  const int64_t timeout_ns_;
  void* executable_ = nullptr;
  void* event_ = nullptr;
  bool late_ = false;
};

}  // namespace edge
