// The preprocess on the GPU. One source: nvrtc or nvcc make the kernel of it, and the C++ compiler the same arithmetic
// for tests on a CPU. Plain C, because nvrtc has no headers.
#ifndef EDGE_CUDA_PREPROCESS_CUH
#define EDGE_CUDA_PREPROCESS_CUH

#ifdef __CUDACC__
#define EDGE_ANYWHERE __device__ __forceinline__
#else
#define EDGE_ANYWHERE static inline
#endif

enum { EDGE_MOSAIC = 1 };  // else pixels of `bytes_per_pixel` bytes, blue first

// A window of contiguous input positions; `at`: index of its first weight.
struct EdgeWindow {
  int first, count, at;
};

// On a mosaic: of a red or blue site, of a green site itself, and of a green site for its neighbours (rows: a quarter of
// both neighbours; columns: the site and a quarter of both). Else only `hat` counts.
struct EdgeWeight {
  float hat, direct, green;
};

// The head of the tables; what follows lies at these byte offsets from it.
struct EdgePlan {
  int out_width, out_height, channels, mosaic, bytes_per_pixel, int8;
  int rows_at, columns_at, row_weights_at, column_weights_at;
  float gain[3], offset[3];  // output = grey level * gain + offset
};

// Where the frame is: in mapped memory, so that one captured graph serves every frame.
struct EdgeFrame {
  unsigned long long pixels;
  long long stride;  // bytes
};

// Brightness of the region of interest on the output grid: sum of grey levels * 256, and counts.
struct EdgeStats {
  unsigned long long sum;
  unsigned int dark, bright;
};

EDGE_ANYWHERE const struct EdgePlan* edge_plan(const unsigned char* tables) {
  return (const struct EdgePlan*)tables;
}

// Red, green and blue of one output pixel as grey levels, 0 to 255.
EDGE_ANYWHERE void edge_levels(const unsigned char* tables, const unsigned char* pixels, long long stride, int x, int y,
                               float* rgb) {
  const struct EdgePlan* plan = edge_plan(tables);
  const struct EdgeWindow row = ((const struct EdgeWindow*)(tables + plan->rows_at))[y];
  const struct EdgeWindow column = ((const struct EdgeWindow*)(tables + plan->columns_at))[x];
  const struct EdgeWeight* down = (const struct EdgeWeight*)(tables + plan->row_weights_at) + row.at;
  const struct EdgeWeight* across = (const struct EdgeWeight*)(tables + plan->column_weights_at) + column.at;
  float red = 0, green = 0, blue = 0;
  for (int j = 0; j < row.count; ++j) {
    const unsigned char* line =
        pixels + (row.first + j) * stride + (long long)column.first * plan->bytes_per_pixel;
    float r = 0, g = 0, b = 0;
    if (plan->mosaic) {  // even rows are R G R G, odd rows G B G B
      const int odd_row = (row.first + j) & 1;
      for (int i = 0; i < column.count; ++i) {
        const float level = line[i];
        const int odd_column = (column.first + i) & 1;
        const float site = level * (down[j].hat * across[i].hat);
        const float between = level * (down[j].direct * across[i].green + down[j].green * across[i].direct);
        r += odd_row | odd_column ? 0.0F : site;
        b += odd_row & odd_column ? site : 0.0F;
        g += odd_row ^ odd_column ? between : 0.0F;
      }
    } else {
      for (int i = 0; i < column.count; ++i, line += plan->bytes_per_pixel) {
        const float weight = down[j].hat * across[i].hat;
        b += line[0] * weight;
        if (plan->bytes_per_pixel > 1) {
          g += line[1] * weight;
          r += line[2] * weight;
        }
      }
    }
    red += r;
    green += g;
    blue += b;
  }
  const int mono = !plan->mosaic && plan->bytes_per_pixel == 1;
  rgb[0] = mono ? blue : red;
  rgb[1] = mono ? blue : green;
  rgb[2] = blue;
}

EDGE_ANYWHERE float edge_luma(const unsigned char* tables, const float* rgb) {
  const struct EdgePlan* plan = edge_plan(tables);
  if (!plan->mosaic && plan->bytes_per_pixel == 1) return rgb[0];
  return 0.299F * rgb[0] + 0.587F * rgb[1] + 0.114F * rgb[2];
}

// Limits halfway between grey levels: "at or below 4" is meant of rounded levels.
EDGE_ANYWHERE int edge_level_256(float luma) { return (int)(luma * 256.0F + 0.5F); }
EDGE_ANYWHERE int edge_is_dark(int level_256) { return level_256 < 4 * 256 + 128; }
EDGE_ANYWHERE int edge_is_bright(int level_256) { return level_256 >= 251 * 256 - 128; }

EDGE_ANYWHERE void edge_store(const unsigned char* tables, const float* rgb, float luma, int x, int y, void* out) {
  const struct EdgePlan* plan = edge_plan(tables);
  const long long plane = (long long)plan->out_width * plan->out_height;
  for (int c = 0; c < plan->channels; ++c) {
    const float level = plan->channels == 1 ? luma : rgb[c];
    const float value = level * plan->gain[c] + plan->offset[c];
    const long long at = c * plane + (long long)y * plan->out_width + x;
    if (plan->int8) {
      const float cut = value < -128.0F ? -128.0F : value > 127.0F ? 127.0F : value;
      // Adding 1.5 * 2^23 leaves no bits for a fraction: rounds half to even.
      ((signed char*)out)[at] = (signed char)(int)((cut + 12582912.0F) - 12582912.0F);
    } else {
      ((float*)out)[at] = value;
    }
  }
}

#ifdef __CUDACC__

extern "C" __global__ void edge_reset(struct EdgeStats* stats) {
  stats->sum = 0;
  stats->dark = stats->bright = 0;
}

// One thread for an output pixel; any block of two dimensions.
extern "C" __global__ void edge_preprocess(const unsigned char* tables, const struct EdgeFrame* frame, void* out,
                                           struct EdgeStats* stats) {
  __shared__ struct EdgeFrame here;  // mapped memory is far: one thread reads it for all
  __shared__ unsigned int sum, dark, bright;
  const int leader = threadIdx.x == 0 && threadIdx.y == 0;
  if (leader) {
    here = *frame;
    sum = dark = bright = 0;
  }
  __syncthreads();
  const struct EdgePlan* plan = edge_plan(tables);
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x < plan->out_width && y < plan->out_height) {
    float rgb[3];
    edge_levels(tables, (const unsigned char*)here.pixels, here.stride, x, y, rgb);
    const float luma = edge_luma(tables, rgb);
    edge_store(tables, rgb, luma, x, y, out);
    const int level = edge_level_256(luma);
    atomicAdd(&sum, (unsigned int)level);  // 1,024 threads of 65,280 fit
    atomicAdd(&dark, (unsigned int)edge_is_dark(level));
    atomicAdd(&bright, (unsigned int)edge_is_bright(level));
  }
  __syncthreads();
  if (leader) {
    atomicAdd(&stats->sum, (unsigned long long)sum);
    atomicAdd(&stats->dark, dark);
    atomicAdd(&stats->bright, bright);
  }
}

#endif

#endif
