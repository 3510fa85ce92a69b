#include "cuda_driver.hpp"

#include <dlfcn.h>

#include <map>
#include <mutex>

#include "error.hpp"

namespace edge {
namespace {

template <typename Function>
void find(void* library, const std::string& name, const char* symbol, Function& function) {
  void* const found = dlsym(library, symbol);
  if (found == nullptr) {
    throw CoreError(name + ": has no " + symbol +
                    "; expected NVIDIA's driver library for CUDA 11.4 or newer: update the driver");
  }
  function = reinterpret_cast<Function>(found);
}

CudaDriver open(const std::string& name) {
  void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    throw CoreError(name + ": cannot be loaded (" + (why == nullptr ? "no reason given" : why) +
                    "); expected NVIDIA's driver: install it, or use ONNX Runtime engines");
  }
  CudaDriver driver;
  find(library, name, "cuCtxSetCurrent", driver.ctx_set_current);
  find(library, name, "cuGraphLaunch", driver.graph_launch);
  find(library, name, "cuEventRecord", driver.event_record);
  find(library, name, "cuEventQuery", driver.event_query);
  find(library, name, "cuEventCreate", driver.event_create);
  find(library, name, "cuEventDestroy_v2", driver.event_destroy);
  find(library, name, "cuStreamBeginCapture_v2", driver.stream_begin_capture);
  find(library, name, "cuStreamEndCapture", driver.stream_end_capture);
  find(library, name, "cuGraphInstantiateWithFlags", driver.graph_instantiate);
  find(library, name, "cuGraphDestroy", driver.graph_destroy);
  find(library, name, "cuGraphExecDestroy", driver.graph_exec_destroy);
  find(library, name, "cuMemHostRegister_v2", driver.mem_host_register);
  find(library, name, "cuMemHostUnregister", driver.mem_host_unregister);
  find(library, name, "cuMemHostGetDevicePointer_v2", driver.mem_host_get_device_pointer);
  find(library, name, "cuGetErrorString", driver.get_error_string);
  return driver;
}

}  // namespace

const CudaDriver& CudaDriver::load(const std::string& library) {
  static std::mutex mutex;
  static std::map<std::string, CudaDriver> loaded;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = loaded.find(library);
  return found != loaded.end() ? found->second : loaded.emplace(library, open(library)).first->second;
}

void CudaDriver::check(int result, const char* function) const {
  if (result == kSuccess) return;
  const char* text = nullptr;
  get_error_string(result, &text);
  throw CoreError(std::string(function) + ": error " + std::to_string(result) + " (" +
                  (text == nullptr ? "unknown" : text) + ")");
}

}  // namespace edge
