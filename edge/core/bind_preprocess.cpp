#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>

#include "error.hpp"
#include "preprocess.hpp"

namespace py = pybind11;
using namespace edge;

namespace {

std::string shape_text(const py::array& array) { return py::str(array.attr("shape")).cast<std::string>(); }

py::tuple output_shape(const Preprocess& preprocess) {
  const PreprocessSettings& s = preprocess.settings();
  return py::make_tuple(1, s.channels, s.out_height, s.out_width);
}

std::array<float, 3> per_channel(const std::vector<float>& values, int channels, const char* name) {
  // Three values with one channel: the defaults, or a colour recipe on a luma engine; the first one counts.
  if (values.size() != 3 && (values.size() != 1 || channels != 1)) {
    throw CoreError("preprocess: " + std::string(name) + " has " + std::to_string(values.size()) +
                    " values, one per channel (" + std::to_string(channels) + ") expected");
  }
  std::array<float, 3> filled{values[0], values[0], values[0]};
  std::copy(values.begin(), values.end(), filled.begin());
  return filled;
}

template <typename Choice>
Choice choose(const std::string& found, const char* name, const char* first, Choice one, const char* second,
              Choice two) {
  if (found == first) return one;
  if (found == second) return two;
  throw CoreError("preprocess: " + std::string(name) + " = \"" + found + "\" found, \"" + first + "\" or \"" +
                  second + "\" expected");
}

Roi region_of_interest(const std::optional<std::array<int, 4>>& roi) {
  if (!roi) return {};
  const auto [x, y, width, height] = *roi;
  if (width <= 0 || height <= 0) {
    throw CoreError("preprocess: roi width and height must be above 0, found " + std::to_string(width) +
                    " x " + std::to_string(height));
  }
  return {x, y, width, height};
}

Preprocess make_preprocess(int out_width, int out_height, int channels, const std::vector<float>& mean,
                           const std::vector<float>& std, const std::string& resize,
                           const std::optional<std::array<int, 4>>& roi, const std::string& dtype,
                           float int8_scale, const std::shared_ptr<FlatField>& flat_field) {
  PreprocessSettings s;
  s.out_width = out_width;
  s.out_height = out_height;
  s.channels = channels;
  s.mean = per_channel(mean, channels, "mean");
  s.std = per_channel(std, channels, "std");
  s.area = choose(resize, "resize", "area", true, "bilinear", false);
  s.roi = region_of_interest(roi);
  s.element = choose(dtype, "dtype", "float32", Element::FLOAT32, "int8", Element::INT8);
  s.int8_scale = int8_scale;
  s.flat_field = flat_field;
  return Preprocess(s);
}

bool is_contiguous(const py::array& array) { return (array.flags() & py::array::c_style) != 0; }

void check_pixels(const py::array& pixels) {
  if (!py::isinstance<py::array_t<uint8_t>>(pixels) || !is_contiguous(pixels)) {
    throw CoreError("preprocess: pixels must be a contiguous uint8 array, found " +
                    py::str(pixels.dtype()).cast<std::string>() + " " + shape_text(pixels));
  }
}

void check_output(const Preprocess& preprocess, const py::array& out) {
  const bool int8 = preprocess.settings().element == Element::INT8;
  const bool typed =
      int8 ? py::isinstance<py::array_t<int8_t>>(out) : py::isinstance<py::array_t<float>>(out);
  const py::tuple expected = output_shape(preprocess);
  if (!typed || !py::tuple(out.attr("shape")).equal(expected) || !is_contiguous(out) || !out.writeable()) {
    throw CoreError("preprocess: out is " + py::str(out.dtype()).cast<std::string>() + " " + shape_text(out) +
                    ", a writable, contiguous " + (int8 ? "int8 " : "float32 ") +
                    py::str(expected).cast<std::string>() + " expected");
  }
}

using Map = py::array_t<uint16_t, py::array::c_style>;

std::shared_ptr<FlatField> flat_field_of(const Map& dark, const Map& gain) {
  if (!py::tuple(dark.attr("shape")).equal(gain.attr("shape")) || dark.ndim() < 2 || dark.ndim() > 3) {
    throw CoreError("flat field: dark " + shape_text(dark) + " and gain " + shape_text(gain) +
                    " found, two of height x width (x samples) expected");
  }
  const int samples = dark.ndim() == 3 ? static_cast<int>(dark.shape(2)) : 1;
  const auto made = make_flat_field(static_cast<int>(dark.shape(1)), static_cast<int>(dark.shape(0)), samples,
                                    dark.data(), gain.data());
  return std::const_pointer_cast<FlatField>(made);
}

// Holds the GIL: half a millisecond at most, and it keeps two threads out of one object's buffers.
FrameStats into(Preprocess& preprocess, const py::array& pixels, int64_t width, int64_t height,
                int64_t stride, PixelFormat pixel_format, py::array& out) {
  check_pixels(pixels);
  check_output(preprocess, out);
  const Geometry geometry{width, height, stride, pixel_format};
  const std::string wrong = preprocess.check(geometry, static_cast<std::size_t>(pixels.nbytes()));
  if (!wrong.empty()) throw CoreError("preprocess: " + wrong);
  return preprocess.run(static_cast<const uint8_t*>(pixels.data()), geometry, out.mutable_data());
}

}  // namespace

void bind_preprocess(py::module_& m) {
  py::class_<FrameStats>(m, "FrameStats")
      .def_readonly("mean", &FrameStats::mean)
      .def_readonly("dark_share", &FrameStats::dark_share)
      .def_readonly("bright_share", &FrameStats::bright_share);
  const std::vector<float> zeros{0.0F, 0.0F, 0.0F};
  const std::vector<float> ones{1.0F, 1.0F, 1.0F};
  py::class_<FlatField, std::shared_ptr<FlatField>>(m, "FlatField")
      .def(py::init(&flat_field_of), py::kw_only(), py::arg("dark"), py::arg("gain"))
      .def_readonly("width", &FlatField::width)
      .def_readonly("height", &FlatField::height)
      .def_readonly("samples", &FlatField::samples);
  py::class_<Preprocess>(m, "Preprocess")
      .def(py::init(&make_preprocess), py::kw_only(), py::arg("out_width"), py::arg("out_height"),
           py::arg("channels") = 3, py::arg("mean") = zeros, py::arg("std") = ones,
           py::arg("resize") = "area", py::arg("roi") = py::none(), py::arg("dtype") = "float32",
           py::arg("int8_scale") = 1.0F, py::arg("flat_field") = nullptr)
      .def_property_readonly("shape", &output_shape)
      .def("into", &into, py::arg("pixels"), py::arg("width"), py::arg("height"), py::arg("stride"),
           py::arg("pixel_format"), py::arg("out"));
}
