#include "cuda_driver.hpp"

#include "dynamic_library.hpp"
#include "error.hpp"

namespace edge {
namespace {

CudaDriver open(const std::string& name) {
  const DynamicLibrary library(name, RTLD_GLOBAL,
                               "expected NVIDIA's driver: install it, or use ONNX Runtime engines",
                               "expected NVIDIA's driver library for CUDA 11.4 or newer: update the driver");
  CudaDriver driver;
  library.find("cuCtxSetCurrent", driver.ctx_set_current);
  library.find("cuGraphLaunch", driver.graph_launch);
  library.find("cuEventRecord", driver.event_record);
  library.find("cuEventQuery", driver.event_query);
  library.find("cuEventCreate", driver.event_create);
  library.find("cuEventDestroy_v2", driver.event_destroy);
  library.find("cuStreamBeginCapture_v2", driver.stream_begin_capture);
  library.find("cuStreamEndCapture", driver.stream_end_capture);
  library.find("cuGraphInstantiateWithFlags", driver.graph_instantiate);
  library.find("cuGraphDestroy", driver.graph_destroy);
  library.find("cuGraphExecDestroy", driver.graph_exec_destroy);
  library.find("cuMemHostRegister_v2", driver.mem_host_register);
  library.find("cuMemHostUnregister", driver.mem_host_unregister);
  library.find("cuMemHostGetDevicePointer_v2", driver.mem_host_get_device_pointer);
  library.find("cuGetErrorString", driver.get_error_string);
  return driver;
}

}  // namespace

const CudaDriver& CudaDriver::load(const std::string& library) { return loaded_once(library, open); }

void CudaDriver::check(int result, const char* function) const {
  if (result == kSuccess) return;
  const char* text = nullptr;
  get_error_string(result, &text);
  throw CoreError(std::string(function) + ": error " + std::to_string(result) + " (" +
                  (text == nullptr ? "unknown" : text) + ")");
}

}  // namespace edge
