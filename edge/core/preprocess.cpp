#include "preprocess.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "error.hpp"
#include "preprocess_kernels.hpp"

namespace edge {
namespace {

using kernels::kLanes;

constexpr int kLargestSide = 65536;
constexpr int kNeighbours = 4;
// Above this many rows per output row 16-bit weights would be too coarse; the sum is then made in float.
constexpr std::size_t kMostFixedTaps = 48;
constexpr std::array<float, 3> kLuma{0.299F, 0.587F, 0.114F};

std::string text(int64_t value) { return std::to_string(value); }

void require(bool condition, const std::string& message) {
  if (!condition) throw CoreError("preprocess: " + message);
}

void validate(const PreprocessSettings& s) {
  require(
      s.out_width >= 1 && s.out_height >= 1 && s.out_width <= kLargestSide && s.out_height <= kLargestSide,
      "output size " + text(s.out_width) + " x " + text(s.out_height) + " found, 1 to " + text(kLargestSide) +
          " pixels a side expected; use the engine's input size");
  require(s.channels == 1 || s.channels == 3,
          "channels = " + text(s.channels) + " found, 1 (luma) or 3 (R, G, B) expected");
  for (const float mean : s.mean)
    require(std::isfinite(mean), "mean must be finite, found " + std::to_string(mean));
  for (const float std : s.std) {
    require(std::isfinite(std) && std > 0.0F, "std must be finite and above 0, found " + std::to_string(std));
  }
  require(std::isfinite(s.int8_scale) && s.int8_scale > 0.0F,
          "int8_scale must be finite and above 0, found " + std::to_string(s.int8_scale));
  const bool whole = s.roi.width == 0 && s.roi.height == 0;
  require(whole || (s.roi.width > 0 && s.roi.height > 0),
          "roi width and height must be above 0, found " + text(s.roi.width) + " x " + text(s.roi.height));
}

uint16_t fixed(float weight) {
  return static_cast<uint16_t>(std::min(std::lround(weight * 65536.0F), 65535L));
}

}  // namespace

int bytes_per_pixel(PixelFormat format) {
  switch (format) {
    case PixelFormat::MONO8:
    case PixelFormat::BAYER_RG8:
      return 1;
    case PixelFormat::BGR8:
      return 3;
    case PixelFormat::BGRA8:
      return 4;
  }
  return 0;
}

Roi clip(const Roi& roi, const Geometry& geometry) {
  if (roi.width == 0) return {0, 0, static_cast<int>(geometry.width), static_cast<int>(geometry.height)};
  const auto cut = [](int64_t from, int64_t size, int64_t limit) {
    const int64_t low = std::clamp<int64_t>(from, 0, limit);
    return std::pair{static_cast<int>(low),
                     static_cast<int>(std::clamp<int64_t>(from + size, low, limit) - low)};
  };
  const auto [x, width] = cut(roi.x, roi.width, geometry.width);
  const auto [y, height] = cut(roi.y, roi.height, geometry.height);
  return {x, y, width, height};
}

void Preprocess::RowTable::reserve(int height, int out_height) {
  // A mosaic adds up to two taps to a window, and a cut cell at either end is one more.
  taps.clear();
  tap_begin.clear();
  taps.reserve(static_cast<std::size_t>(height) + 5 * static_cast<std::size_t>(out_height));
  tap_begin.reserve(static_cast<std::size_t>(out_height) + 1);
}

Preprocess::Preprocess(const PreprocessSettings& settings) : settings_(settings) {
  validate(settings);
  const double unit = settings.element == Element::INT8 ? settings.int8_scale : 1.0;
  for (std::size_t c = 0; c < 3; ++c) {
    gain_[c] = static_cast<float>(1.0 / (256.0 * 255.0 * settings.std[c] * unit));
    offset_[c] = static_cast<float>(-settings.mean[c] / (static_cast<double>(settings.std[c]) * unit));
  }
  for (auto& row : channels_) row.resize(static_cast<std::size_t>(settings.out_width));
  luma_.resize(static_cast<std::size_t>(settings.out_width));
  if (settings.flat_field) flattened_.resize(settings.flat_field->dark.size());
}

std::size_t Preprocess::elements() const {
  return static_cast<std::size_t>(settings_.channels) * static_cast<std::size_t>(settings_.out_width) *
         static_cast<std::size_t>(settings_.out_height);
}

std::size_t Preprocess::output_bytes() const {
  return elements() * (settings_.element == Element::INT8 ? sizeof(int8_t) : sizeof(float));
}

std::string Preprocess::check(const Geometry& g, std::size_t pixel_bytes) const {
  const int bytes = bytes_per_pixel(g.format);
  if (bytes == 0) return "pixel format " + text(static_cast<int64_t>(g.format)) + " is not known";
  const int least = g.format == PixelFormat::BAYER_RG8 ? 2 : 1;
  if (g.width < least || g.height < least || g.width > kLargestSide || g.height > kLargestSide) {
    return "frame size " + text(g.width) + " x " + text(g.height) + " found, " + text(least) + " to " +
           text(kLargestSide) + " pixels a side expected";
  }
  if (g.stride < g.width * bytes || g.stride > INT32_MAX) {
    return "stride " + text(g.stride) + " found, at least " + text(g.width * bytes) + " bytes expected for " +
           text(g.width) + " pixels of " + text(bytes) + " bytes";
  }
  const int64_t needed = g.stride * (g.height - 1) + g.width * bytes;
  if (pixel_bytes < static_cast<std::size_t>(needed)) {
    return "pixel buffer of " + text(static_cast<int64_t>(pixel_bytes)) + " bytes found, " + text(needed) +
           " expected for stride " + text(g.stride) + " and height " + text(g.height);
  }
  if (const FlatField* flat = settings_.flat_field.get()) {
    if (flat->width != g.width || flat->height != g.height || flat->samples != bytes) {
      return "frame of " + text(g.width) + " x " + text(g.height) + " with " + text(bytes) +
             " bytes a pixel found, the flat-field map is of " + text(flat->width) + " x " +
             text(flat->height) + " with " + text(flat->samples) +
             "; make a new map with edge camera flatfield";
    }
  }
  const Roi& roi = settings_.roi;
  const Roi inside = clip(roi, g);
  if (inside.width == 0 || inside.height == 0) {
    return "roi (" + text(roi.x) + ", " + text(roi.y) + ", " + text(roi.width) + ", " + text(roi.height) +
           ") lies outside the frame of " + text(g.width) + " x " + text(g.height) +
           "; move it into the frame";
  }
  return {};
}

void Preprocess::prepare(const Geometry& g) {
  if (g.width == prepared_.width && g.height == prepared_.height && g.format == prepared_.format) return;
  const Roi roi = clip(settings_.roi, g);
  const Sampling sampling =
      sampling_for(settings_.area, roi.width, roi.height, settings_.out_width, settings_.out_height);
  fill_windows(sampling, roi.width, settings_.out_width, roi.x, cols_);
  fill_windows(sampling, roi.height, settings_.out_height, roi.y, rows_);
  const int width = static_cast<int>(g.width);
  const int height = static_cast<int>(g.height);
  const bool mosaic = g.format == PixelFormat::BAYER_RG8;
  if (mosaic) {
    move_ring_inwards(width, cols_, mosaic_cols_);
    move_ring_inwards(height, rows_, mosaic_rows_);
  }
  reserve(roi.width, roi.height, g.format);  // in any case: a smaller frame may need it
  prepared_ = g;
  is_sparse_ =
      sampling == Sampling::BILINEAR &&
      sparse_.prepare(mosaic ? mosaic_rows_ : rows_, mosaic ? mosaic_cols_ : cols_, width, height, g.format);
  if (is_sparse_) return;
  if (mosaic) {
    build_mosaic(width, height);
  } else {
    build_plain(bytes_per_pixel(g.format));
  }
}

// Room for any frame of the format that is not larger.
void Preprocess::reserve(int width, int height, PixelFormat format) {
  for (RowTable& table : tables_) table.reserve(height, settings_.out_height);
  if (format == PixelFormat::BAYER_RG8) return mosaic_columns_.reserve(width + 4, settings_.out_width);
  const auto out_width = static_cast<std::size_t>(settings_.out_width);
  const auto columns = static_cast<std::size_t>(kernels::whole_vectors(width / settings_.out_width + 6));
  column_start_.clear();
  column_start_.reserve(out_width);
  column_weights_.clear();
  column_weights_.reserve(out_width * columns);
  // The column sums read whole vectors, past the last weight that is not zero.
  sums_.assign(static_cast<std::size_t>((width + 3) * bytes_per_pixel(format)) + (columns + 1) * kLanes, 0);
}

void Preprocess::build_plain(int bytes_per_pixel) {
  RowTable& table = tables_[0];
  for (int i = 0; i < rows_.size(); ++i) {
    const Windows::View window = rows_[i];
    table.tap_begin.push_back(table.taps.size());
    for (int y = window.first; y <= window.last(); ++y) table.taps.push_back({y, window.at(y), window.at(y)});
  }
  table.tap_begin.push_back(table.taps.size());

  origin_ = cols_[0].first;
  bytes_ = (cols_[cols_.size() - 1].last() + 1 - origin_) * bytes_per_pixel;
  columns_ = cols_.widest();
  if (bytes_per_pixel == 1) columns_ = kernels::whole_vectors(columns_);
  for (int i = 0; i < cols_.size(); ++i) {
    const Windows::View window = cols_[i];
    column_start_.push_back((window.first - origin_) * bytes_per_pixel);
    for (int k = 0; k < columns_; ++k) column_weights_.push_back(window.at(window.first + k));
  }
  origin_ *= bytes_per_pixel;
}

// Three tables hold what a mosaic needs: even rows (R G R G), odd rows (G B G B), and the greens once more
// for their neighbours above and below. Within a row even and odd bytes are different colours with
// different weights.
void Preprocess::build_mosaic(int width, int height) {
  auto& [even_rows, odd_rows, greens] = tables_;
  for (int i = 0; i < mosaic_rows_.size(); ++i) {
    const Windows::View window = mosaic_rows_[i];
    for (RowTable& table : tables_) table.tap_begin.push_back(table.taps.size());
    for (int y = std::max(window.first - 1, 0); y <= std::min(window.last() + 1, height - 1); ++y) {
      const MosaicWeights w = mosaic_weights(window, height, y);
      if (y % 2 == 0) {
        even_rows.taps.push_back({y, w.hat, w.direct});
        greens.taps.push_back({y, 0.0F, w.across});
      } else {
        odd_rows.taps.push_back({y, w.direct, w.hat});
        greens.taps.push_back({y, w.across, 0.0F});
      }
    }
  }
  for (RowTable& table : tables_) table.tap_begin.push_back(table.taps.size());
  mosaic_columns_.build(mosaic_cols_, width);
}

void Preprocess::sum_rows(const RowTable& table, int out_row, const uint8_t* pixels, int64_t stride,
                          std::size_t bytes, uint16_t* sums) {
  const auto index = static_cast<std::size_t>(out_row);
  const RowTap* tap = table.taps.data() + table.tap_begin[index];
  const std::size_t count = table.tap_begin[index + 1] - table.tap_begin[index];
  if (count > kMostFixedTaps) {
    // In strips that stay in the cache.
    std::array<float, 512> strip;
    for (std::size_t from = 0; from < bytes; from += strip.size()) {
      const std::size_t size = std::min(strip.size(), bytes - from);
      strip.fill(0.5F);
      for (std::size_t k = 0; k < count; ++k) {
        kernels::add_row(pixels + tap[k].row * stride + from, tap[k].even * 256.0F, tap[k].odd * 256.0F, size,
                         strip.data());
      }
      std::copy_n(strip.data(), size, sums + from);
    }
    return;
  }
  kernels::RowGroup group{};
  // Each product is cut off, by half a unit on average.
  group.start = static_cast<uint16_t>(count / 2);
  for (std::size_t done = 0; done == 0 || done < count; done += static_cast<std::size_t>(group.count)) {
    group.first = done == 0;
    group.count = static_cast<int>(std::min<std::size_t>(count - done, kernels::kGroup));
    for (int k = 0; k < group.count; ++k) {
      const RowTap& t = tap[done + static_cast<std::size_t>(k)];
      group.rows[k] = pixels + t.row * stride;
      group.even[k] = fixed(t.even);
      group.odd[k] = fixed(t.odd);
    }
    kernels::sum_rows(group, bytes, sums);
    if (count == 0) return;
  }
}

void Preprocess::sum_columns() {
  const auto out = static_cast<std::size_t>(settings_.out_width);
  const int* const starts = column_start_.data();
  const float* const weights = column_weights_.data();
  if (prepared_.format == PixelFormat::MONO8) {
    return kernels::columns_mono(sums_.data(), starts, weights, columns_, out, channels_[0].data());
  }
  kernels::columns_colour(sums_.data(), bytes_per_pixel(prepared_.format), starts, weights, columns_, out,
                          channels_[0].data(), channels_[1].data(), channels_[2].data());
}

void Preprocess::emit(int out_row, void* out, Brightness& brightness) {
  const auto width = static_cast<std::size_t>(settings_.out_width);
  const bool mono = prepared_.format == PixelFormat::MONO8;
  const float* luma = channels_[0].data();
  if (!mono) {
    kernels::mix(channels_[0].data(), channels_[1].data(), channels_[2].data(), kLuma, width, luma_.data());
    luma = luma_.data();
  }
  kernels::brightness(luma, width, brightness.sum, brightness.dark, brightness.bright);

  const std::size_t plane = width * static_cast<std::size_t>(settings_.out_height);
  for (std::size_t c = 0; c < static_cast<std::size_t>(settings_.channels); ++c) {
    const float* const source = mono || settings_.channels == 1 ? luma : channels_[c].data();
    const std::size_t at = c * plane + static_cast<std::size_t>(out_row) * width;
    if (settings_.element == Element::INT8) {
      kernels::to_int8(source, gain_[c], offset_[c], width, static_cast<int8_t*>(out) + at);
    } else {
      kernels::to_float(source, gain_[c], offset_[c], width, static_cast<float*>(out) + at);
    }
  }
}

void Preprocess::run_mosaic(const uint8_t* pixels, int64_t stride, void* out, Brightness& brightness) {
  constexpr int batch = MosaicColumns::kRows;
  const uint8_t* const from = pixels + mosaic_columns_.origin();
  const auto bytes = static_cast<std::size_t>(mosaic_columns_.bytes());
  for (int row = 0; row < settings_.out_height; row += batch) {
    const int rows = std::min(batch, settings_.out_height - row);
    for (std::size_t p = 0; p < tables_.size(); ++p) {
      for (int r = 0; r < rows; ++r) {
        sum_rows(tables_[p], row + r, from, stride, bytes, mosaic_columns_.row(r));
      }
      mosaic_columns_.take(p);
    }
    mosaic_columns_.sum();
    for (int r = 0; r < rows; ++r) {
      mosaic_columns_.read(r, channels_[0].data(), channels_[1].data(), channels_[2].data());
      emit(row + r, out, brightness);
    }
  }
}

void Preprocess::run_plain(const uint8_t* pixels, int64_t stride, void* out, Brightness& brightness) {
  for (int row = 0; row < settings_.out_height; ++row) {
    if (is_sparse_) {
      sparse_.row(pixels, stride, row, channels_[0].data(), channels_[1].data(), channels_[2].data());
    } else {
      sum_rows(tables_[0], row, pixels + origin_, stride, static_cast<std::size_t>(bytes_), sums_.data());
      sum_columns();
    }
    emit(row, out, brightness);
  }
}

const uint8_t* Preprocess::flattened(const uint8_t* pixels, const Geometry& geometry) noexcept {
  const FlatField& flat = *settings_.flat_field;
  const Roi roi = clip(settings_.roi, geometry);
  // Neighbours of the region make its colours, and its rim where the picture grows.
  const int first = std::max(roi.y - kNeighbours, 0);
  const int last = std::min(roi.y + roi.height + kNeighbours, flat.height);
  const auto left = static_cast<std::size_t>(std::max(roi.x - kNeighbours, 0) * flat.samples);
  const auto right =
      static_cast<std::size_t>(std::min(roi.x + roi.width + kNeighbours, flat.width) * flat.samples);
  for (int y = first; y < last; ++y) {
    const std::size_t at = static_cast<std::size_t>(y) * flat.row_bytes() + left;
    correct(pixels + y * geometry.stride + left, flat.dark.data() + at, flat.gain.data() + at, right - left,
            flattened_.data() + at);
  }
  return flattened_.data();
}

FrameStats Preprocess::run(const uint8_t* pixels, const Geometry& geometry, void* out) noexcept {
  prepare(geometry);
  Brightness brightness;
  int64_t stride = geometry.stride;
  if (settings_.flat_field) {
    pixels = flattened(pixels, geometry);
    stride = static_cast<int64_t>(settings_.flat_field->row_bytes());
  }
  if (geometry.format == PixelFormat::BAYER_RG8 && !is_sparse_) {
    run_mosaic(pixels, stride, out, brightness);
  } else {
    run_plain(pixels, stride, out, brightness);
  }
  const double count = static_cast<double>(settings_.out_width) * settings_.out_height;
  return {static_cast<float>(static_cast<double>(brightness.sum) / 256.0 / count),
          static_cast<float>(static_cast<double>(brightness.dark) / count),
          static_cast<float>(static_cast<double>(brightness.bright) / count)};
}

}  // namespace edge
