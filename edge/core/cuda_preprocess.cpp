#include "cuda_preprocess.hpp"

#include <algorithm>
#include <cstring>

#include "cuda_preprocess.cuh"
#include "error.hpp"

namespace edge {
namespace {

// Windows and weights of one axis.
struct Axis {
  std::vector<EdgeWindow> windows;
  std::vector<EdgeWeight> weights;
};

Axis plain_axis(const Windows& windows) {
  Axis axis;
  for (int i = 0; i < windows.size(); ++i) {
    const Windows::View window = windows[i];
    axis.windows.push_back({window.first, window.count, static_cast<int>(axis.weights.size())});
    for (int k = 0; k < window.count; ++k) axis.weights.push_back({window.weights[k], 0, 0});
  }
  return axis;
}

// A site spreads to its neighbours, so a window is wider by one on both sides.
Axis mosaic_axis(const Windows& windows, int size, float MosaicWeights::* green) {
  Windows moved;
  move_ring_inwards(size, windows, moved);
  Axis axis;
  for (int i = 0; i < moved.size(); ++i) {
    const Windows::View window = moved[i];
    const int first = std::max(window.first - 1, 0), last = std::min(window.last() + 1, size - 1);
    axis.windows.push_back({first, last - first + 1, static_cast<int>(axis.weights.size())});
    for (int index = first; index <= last; ++index) {
      const MosaicWeights w = mosaic_weights(window, size, index);
      axis.weights.push_back({w.hat, w.direct, w.*green});
    }
  }
  return axis;
}

template <typename Item>
int append(std::vector<uint8_t>& tables, const std::vector<Item>& items) {
  const std::size_t at = tables.size();
  tables.resize(at + items.size() * sizeof(Item));
  std::memcpy(tables.data() + at, items.data(), items.size() * sizeof(Item));
  return static_cast<int>(at);
}

}  // namespace

std::vector<uint8_t> cuda_tables(const Preprocess& preprocess, const Geometry& geometry) {
  const PreprocessSettings& s = preprocess.settings();
  if (s.flat_field) throw CoreError("the preprocess kernel of the GPU knows no flat field");
  const Roi roi = clip(s.roi, geometry);
  const Sampling sampling = sampling_for(s.area, roi.width, roi.height, s.out_width, s.out_height);
  Windows rows, columns;
  fill_windows(sampling, roi.height, s.out_height, roi.y, rows);
  fill_windows(sampling, roi.width, s.out_width, roi.x, columns);
  const bool mosaic = geometry.format == PixelFormat::BAYER_RG8;
  const Axis down = mosaic ? mosaic_axis(rows, static_cast<int>(geometry.height), &MosaicWeights::across)
                           : plain_axis(rows);
  const Axis across = mosaic ? mosaic_axis(columns, static_cast<int>(geometry.width), &MosaicWeights::beside)
                             : plain_axis(columns);

  EdgePlan plan{};
  plan.out_width = s.out_width;
  plan.out_height = s.out_height;
  plan.channels = s.channels;
  plan.mosaic = mosaic ? 1 : 0;
  plan.bytes_per_pixel = bytes_per_pixel(geometry.format);
  plan.int8 = s.element == Element::INT8 ? 1 : 0;
  for (std::size_t c = 0; c < 3; ++c) {
    plan.gain[c] = preprocess.gain(c) * 256.0F;
    plan.offset[c] = preprocess.offset(c);
  }
  std::vector<uint8_t> tables(sizeof plan);
  plan.rows_at = append(tables, down.windows);
  plan.columns_at = append(tables, across.windows);
  plan.row_weights_at = append(tables, down.weights);
  plan.column_weights_at = append(tables, across.weights);
  std::memcpy(tables.data(), &plan, sizeof plan);
  return tables;
}

FrameStats cuda_stats(const EdgeStats& counted, int64_t pixels) {
  const auto count = static_cast<double>(pixels);
  return {static_cast<float>(static_cast<double>(counted.sum) / 256.0 / count),
          static_cast<float>(counted.dark / count), static_cast<float>(counted.bright / count)};
}

FrameStats cuda_preprocess_on_cpu(const std::vector<uint8_t>& tables, const uint8_t* pixels, int64_t stride,
                                  void* out) {
  const EdgePlan& plan = *edge_plan(tables.data());
  EdgeStats stats{};
  for (int y = 0; y < plan.out_height; ++y) {
    for (int x = 0; x < plan.out_width; ++x) {
      float rgb[3];
      edge_levels(tables.data(), pixels, stride, x, y, rgb);
      const float luma = edge_luma(tables.data(), rgb);
      edge_store(tables.data(), rgb, luma, x, y, out);
      const int level = edge_level_256(luma);
      stats.sum += static_cast<unsigned>(level);
      stats.dark += static_cast<unsigned>(edge_is_dark(level));
      stats.bright += static_cast<unsigned>(edge_is_bright(level));
    }
  }
  return cuda_stats(stats, int64_t{plan.out_width} * plan.out_height);
}

}  // namespace edge
