// Another view of the frame that is in the engine's input already, and how sharp it is. In place, no
// allocation.
#pragma once

#include <algorithm>
#include <cstdint>

#include "preprocess.hpp"

namespace edge {

enum class SecondView : int { NONE = 0, MIRRORED = 1, EXPOSED = 2 };

template <typename T>
inline void mirror_rows(T* values, size_t rows, size_t width) {
  for (size_t row = 0; row < rows; ++row) std::reverse(values + row * width, values + (row + 1) * width);
}

// Left and right exchanged; trained with, so equally at home there.
inline void mirror(const PreprocessSettings& s, void* input) {
  const auto rows = static_cast<size_t>(s.channels) * static_cast<size_t>(s.out_height);
  const auto width = static_cast<size_t>(s.out_width);
  if (s.element == Element::FLOAT32) {
    mirror_rows(static_cast<float*>(input), rows, width);
  } else {
    mirror_rows(static_cast<int8_t*>(input), rows, width);
  }
}

// As if exposed `gain` times as long; grey levels end at 255. False: not for this input format.
inline bool expose(const PreprocessSettings& s, void* input, float gain) {
  if (s.element != Element::FLOAT32) return false;
  const auto plane = static_cast<size_t>(s.out_height) * static_cast<size_t>(s.out_width);
  auto* value = static_cast<float*>(input);
  for (int c = 0; c < s.channels; ++c, value += plane) {
    const float mean = s.mean[static_cast<size_t>(c)], std = s.std[static_cast<size_t>(c)];
    const float offset = mean * (gain - 1) / std, most = (1 - mean) / std;
    for (size_t i = 0; i < plane; ++i) value[i] = std::min(value[i] * gain + offset, most);
  }
  return true;
}

// False: this view cannot be made; the input is as it was.
inline bool make_second_view(SecondView view, const PreprocessSettings& s, void* input, float brightness_mean,
                             float brightness_wanted) {
  if (view == SecondView::MIRRORED) {
    mirror(s, input);
    return true;
  }
  if (view != SecondView::EXPOSED || brightness_mean < 1) return false;
  return expose(s, input, std::min(std::max(brightness_wanted / brightness_mean, 0.25F), 4.0F));
}

// Energy of the Laplacian over the variance, on the middle channel: falls with defocus and motion, does not
// know brightness or contrast. -1: not for this input format, or a picture without contrast.
inline float sharpness(const PreprocessSettings& s, const void* input) {
  if (s.element != Element::FLOAT32 || s.out_width < 3 || s.out_height < 3) return -1;
  const auto width = static_cast<size_t>(s.out_width), height = static_cast<size_t>(s.out_height);
  const float* p = static_cast<const float*>(input) + (s.channels == 3 ? width * height : 0);
  double sum = 0, squares = 0, edges = 0;
  for (size_t y = 1; y + 1 < height; ++y) {
    const float* row = p + y * width;
    float row_sum = 0, row_squares = 0, row_edges = 0;
    for (size_t x = 1; x + 1 < width; ++x) {
      const float v = row[x];
      const float edge = 4 * v - row[x - 1] - row[x + 1] - row[x - width] - row[x + width];
      row_sum += v, row_squares += v * v, row_edges += edge * edge;
    }
    sum += row_sum, squares += row_squares, edges += row_edges;
  }
  const double count = static_cast<double>((width - 2) * (height - 2));
  const double variance = squares / count - (sum / count) * (sum / count);
  return variance > 1e-8 ? static_cast<float>(edges / count / variance) : -1.0F;
}

}  // namespace edge
