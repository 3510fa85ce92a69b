// The NVIDIA driver, found at run time: no CUDA header, no CUDA library at build time. Types are those of its
// ABI.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace edge {

// Handles are pointers, results are ints: 0 success, 600 not ready.
struct CudaDriver {
  static constexpr int kSuccess = 0, kNotReady = 600;

  // What the loop calls.
  int (*ctx_set_current)(void* context) = nullptr;
  int (*graph_launch)(void* executable, void* stream) = nullptr;
  int (*event_record)(void* event, void* stream) = nullptr;
  int (*event_query)(void* event) = nullptr;
  // What is called once, before and after.
  int (*event_create)(void** event, unsigned flags) = nullptr;
  int (*event_destroy)(void* event) = nullptr;
  int (*stream_begin_capture)(void* stream, int mode) = nullptr;
  int (*stream_end_capture)(void* stream, void** graph) = nullptr;
  int (*graph_instantiate)(void** executable, void* graph, unsigned long long flags) = nullptr;
  int (*graph_destroy)(void* graph) = nullptr;
  int (*graph_exec_destroy)(void* executable) = nullptr;
  int (*mem_host_register)(void* memory, size_t bytes, unsigned flags) = nullptr;
  int (*mem_host_unregister)(void* memory) = nullptr;
  int (*mem_host_get_device_pointer)(uint64_t* device, void* memory, unsigned flags) = nullptr;
  int (*get_error_string)(int error, const char** text) = nullptr;

  // Loaded once and never unloaded. Throws CoreError: no such library, or a function is missing.
  static const CudaDriver& load(const std::string& library = "libcuda.so.1");

  // Throws CoreError naming the function and what the driver says of the error.
  void check(int result, const char* function) const;
};

}  // namespace edge
