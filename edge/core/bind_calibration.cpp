#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "calibration_histogram.hpp"
#include "error.hpp"

namespace py = pybind11;
using namespace edge;

namespace {

void add(CalibrationHistogram& histogram, const py::array& values) {
  if (!py::isinstance<py::array_t<float>>(values) || (values.flags() & py::array::c_style) == 0) {
    throw CoreError("calibration: values must be a contiguous float32 array, found " +
                    py::str(values.dtype()).cast<std::string>());
  }
  const auto* data = static_cast<const float*>(values.data());
  const auto count = static_cast<std::size_t>(values.size());
  const py::gil_scoped_release free;
  histogram.add(data, count);
}

}  // namespace

void bind_calibration(py::module_& m) {
  using H = CalibrationHistogram;
  py::class_<H>(m, "CalibrationHistogram")
      .def(py::init<>())
      .def("add", &add, py::arg("values"))
      .def_property_readonly("counts",
                             [](const H& h) { return py::array_t<int64_t>(H::kBins, h.counts().data()); })
      .def_property_readonly("width", &H::width)
      .def_property_readonly("low", &H::low)
      .def_property_readonly("high", &H::high);
}
