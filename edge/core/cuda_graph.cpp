#include "cuda_graph.hpp"

#include "error.hpp"

namespace edge {
namespace {

constexpr int kCaptureThisThread = 1;  // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
constexpr unsigned kNoTiming = 2;      // CU_EVENT_DISABLE_TIMING

}  // namespace

CudaGraph::CudaGraph(void* context, void* stream, int64_t timeout_ns, const std::string& library)
    : driver_(CudaDriver::load(library)), context_(context), stream_(stream), timeout_ns_(timeout_ns) {
  driver_.check(driver_.ctx_set_current(context_), "cuCtxSetCurrent");
  driver_.check(driver_.event_create(&event_, kNoTiming), "cuEventCreate");
}

CudaGraph::~CudaGraph() {
  driver_.ctx_set_current(context_);
  if (executable_ != nullptr) driver_.graph_exec_destroy(executable_);
  if (event_ != nullptr) driver_.event_destroy(event_);
}

void CudaGraph::begin_capture() {
  if (captured()) throw CoreError("a CUDA graph is captured once; make another one");
  driver_.check(driver_.stream_begin_capture(stream_, kCaptureThisThread), "cuStreamBeginCapture");
}

void CudaGraph::end_capture() {
  void* graph = nullptr;
  driver_.check(driver_.stream_end_capture(stream_, &graph), "cuStreamEndCapture");
  const int result = driver_.graph_instantiate(&executable_, graph, 0);
  driver_.graph_destroy(graph);
  driver_.check(result, "cuGraphInstantiate");
}

bool CudaGraph::run() noexcept {
  if (executable_ == nullptr) return false;
  if (driver_.ctx_set_current(context_) != CudaDriver::kSuccess) return false;
  const auto query = [this] { return driver_.event_query(event_); };
  if (late_ && wait_bounded(query, 0) != Waited::DONE) return false;
  late_ = false;
  if (driver_.graph_launch(executable_, stream_) != CudaDriver::kSuccess) return false;
  late_ = true;  // unless it is seen to be done
  if (driver_.event_record(event_, stream_) != CudaDriver::kSuccess) return false;
  const bool done = wait_bounded(query, now_ns() + timeout_ns_) == Waited::DONE;
  late_ = !done;
  return done;
}

}  // namespace edge
