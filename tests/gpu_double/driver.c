/* As much of NVIDIA's driver as the native loop calls. A launch runs what a test hands over. */
#include <stddef.h>

void (*on_begin)(void) = NULL;
int (*on_end)(void) = NULL; /* the captured graph's number; 0x100 more is its handle */
int (*on_launch)(int) = NULL;

int cuCtxSetCurrent(void* context) { return context == NULL ? 201 : 0; }
int cuGraphLaunch(void* executable, void* stream) {
  return executable == NULL || stream == NULL ? 1 : on_launch((int)((long long)executable - 0x100));
}
int cuEventRecord(void* event, void* stream) { return event == NULL || stream == NULL; }
int cuEventQuery(void* event) { return event == NULL; }
int cuEventCreate(void** event, unsigned flags) {
  *event = (void*)1;
  return flags != 2;
}
int cuEventDestroy_v2(void* event) { return event == NULL; }
int cuStreamBeginCapture_v2(void* stream, int mode) {
  on_begin();
  return stream == NULL || mode != 1;
}
int cuStreamEndCapture(void* stream, void** graph) {
  *graph = (void*)(0x100LL + on_end());
  return stream == NULL;
}
int cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long flags) {
  *executable = graph;
  return graph == NULL || flags != 0;
}
int cuGraphDestroy(void* graph) { return graph == NULL; }
int cuGraphExecDestroy(void* executable) { return executable == NULL; }

void* locked = NULL;
size_t locked_bytes = 0;
int locks = 0, maps = 1;

int cuMemHostRegister_v2(void* memory, size_t bytes, unsigned flags) {
  if (locked != NULL) return 712;
  if ((size_t)memory % 4096 != 0 || bytes % 4096 != 0 || flags != 3) return 1;
  locked = memory;
  locked_bytes = bytes;
  locks++;
  return 0;
}
int cuMemHostUnregister(void* memory) {
  if (memory != locked) return 713;
  locked = NULL;
  return 0;
}
int cuMemHostGetDevicePointer_v2(unsigned long long* device, void* memory, unsigned flags) {
  *device = (unsigned long long)memory;
  return !maps || memory != locked || flags != 0;
}
int cuGetErrorString(int error, const char** text) {
  *text = "what a test wanted";
  return error == 0;
}
