// What the preprocess kernel of the GPU needs to know, and its arithmetic on a CPU.
#pragma once

#include <cstdint>
#include <vector>

#include "preprocess.hpp"

struct EdgeStats;

namespace edge {

// Plan, windows and weights in one block of bytes that is copied to the GPU as it is. The geometry must have
// passed Preprocess::check; its stride is not part of it. Throws CoreError: the kernel knows no flat field.
std::vector<uint8_t> cuda_tables(const Preprocess& preprocess, const Geometry& geometry);

// What the kernel counted over so many pixels of its output.
FrameStats cuda_stats(const EdgeStats& counted, int64_t pixels);

// What the kernel computes, thread by thread, here: for tests, and where there is no GPU.
FrameStats cuda_preprocess_on_cpu(const std::vector<uint8_t>& tables, const uint8_t* pixels, int64_t stride,
                                  void* out);

}  // namespace edge
