#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "cuda_frame_path.hpp"
#include "cuda_graph.hpp"
#include "cuda_preprocess.cuh"
#include "cuda_preprocess.hpp"
#include "cuda_ring.hpp"
#include "error.hpp"

namespace py = pybind11;
using namespace edge;

namespace {

void* handle(uintptr_t number) { return reinterpret_cast<void*>(number); }

std::vector<uint8_t> checked_tables(const Preprocess& preprocess, const Geometry& geometry,
                                    std::size_t bytes) {
  const std::string wrong = preprocess.check(geometry, bytes);
  if (!wrong.empty()) throw CoreError("preprocess: " + wrong);
  return cuda_tables(preprocess, geometry);
}

py::bytes tables(const Preprocess& preprocess, int64_t width, int64_t height, int64_t stride,
                 PixelFormat pixel_format) {
  if (stride == 0) stride = width * bytes_per_pixel(pixel_format);
  const std::size_t bytes = static_cast<std::size_t>(stride) * static_cast<std::size_t>(height);
  const std::vector<uint8_t> made = checked_tables(preprocess, {width, height, stride, pixel_format}, bytes);
  return {reinterpret_cast<const char*>(made.data()), made.size()};
}

FrameStats on_cpu(const Preprocess& preprocess, const py::array_t<uint8_t, py::array::c_style>& pixels,
                  int64_t width, int64_t height, int64_t stride, PixelFormat pixel_format, py::array& out) {
  if (static_cast<std::size_t>(out.nbytes()) != preprocess.output_bytes() || !out.writeable()) {
    throw CoreError("preprocess: out has " + std::to_string(out.nbytes()) + " bytes, " +
                    std::to_string(preprocess.output_bytes()) + " writable bytes expected");
  }
  const auto made = checked_tables(preprocess, {width, height, stride, pixel_format},
                                   static_cast<std::size_t>(pixels.nbytes()));
  return cuda_preprocess_on_cpu(made, pixels.data(), stride, out.mutable_data());
}

using Words = py::array_t<uint64_t, py::array::c_style>;

std::shared_ptr<CudaFramePath> frame_path(std::shared_ptr<CudaRing> ring, std::shared_ptr<CudaGraph> graph,
                                          Words frame, const Words& stats, int64_t outputs) {
  if (frame.nbytes() != sizeof(EdgeFrame) || stats.nbytes() != sizeof(EdgeStats)) {
    throw CoreError("a frame path needs two words for the frame and two for its brightness");
  }
  return std::make_shared<CudaFramePath>(std::move(ring), std::move(graph),
                                         reinterpret_cast<EdgeFrame*>(frame.mutable_data()),
                                         reinterpret_cast<const EdgeStats*>(stats.data()), outputs);
}

}  // namespace

void bind_cuda(py::module_& m) {
  m.def("cuda_tables", &tables, py::arg("preprocess"), py::arg("width"), py::arg("height"), py::arg("stride"),
        py::arg("pixel_format"));
  m.def("cuda_preprocess_on_cpu", &on_cpu, py::arg("preprocess"), py::arg("pixels"), py::arg("width"),
        py::arg("height"), py::arg("stride"), py::arg("pixel_format"), py::arg("out"));
  py::class_<CudaRing, std::shared_ptr<CudaRing>>(m, "CudaRing")
      .def(py::init([](std::shared_ptr<Region> region, uintptr_t context, const std::string& library) {
             return std::make_shared<CudaRing>(std::move(region), handle(context), library);
           }),
           py::arg("region"), py::kw_only(), py::arg("context"), py::arg("library") = "libcuda.so.1")
      .def("device_address", py::overload_cast<uint64_t>(&CudaRing::device_address, py::const_),
           py::arg("index"));
  py::class_<CudaFramePath, std::shared_ptr<CudaFramePath>>(m, "CudaFramePath")
      .def(py::init(&frame_path), py::kw_only(), py::arg("ring"), py::arg("graph"), py::arg("frame"),
           py::arg("stats"), py::arg("outputs"), py::keep_alive<1, 4>(), py::keep_alive<1, 5>())
      .def(
          "open",
          [](CudaFramePath& path, int64_t width, int64_t height, PixelFormat format) {
            path.door().open(shape_of({width, height, 0, format}));
          },
          py::arg("width"), py::arg("height"), py::arg("pixel_format"))
      .def(
          "close", [](CudaFramePath& path) { path.door().close(); },
          py::call_guard<py::gil_scoped_release>());
  py::class_<CudaGraph, std::shared_ptr<CudaGraph>>(m, "CudaGraph")
      .def(py::init([](uintptr_t context, uintptr_t stream, int64_t timeout_ns, const std::string& library) {
             return std::make_shared<CudaGraph>(handle(context), handle(stream), timeout_ns, library);
           }),
           py::kw_only(), py::arg("context"), py::arg("stream"), py::arg("timeout_ns"),
           py::arg("library") = "libcuda.so.1")
      .def("begin_capture", &CudaGraph::begin_capture)
      .def("end_capture", &CudaGraph::end_capture)
      .def_property_readonly("captured", &CudaGraph::captured)
      .def("run", &CudaGraph::run, py::call_guard<py::gil_scoped_release>())
      .def(
          "time_runs",
          [](CudaGraph& graph, std::size_t runs) {
            std::vector<int64_t> times_ns(runs);
            for (int64_t& time : times_ns) {
              const int64_t began = now_ns();
              time = graph.run() ? now_ns() - began : -1;
            }
            return times_ns;
          },
          py::arg("runs"), py::call_guard<py::gil_scoped_release>());
}
