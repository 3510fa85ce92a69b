#include <pybind11/native_enum.h>
#include <pybind11/pybind11.h>

#include "clock.hpp"
#include "enums.hpp"
#include "error.hpp"
#include "frame.hpp"
#include "histogram.hpp"
#include "tail_doubt.hpp"

namespace py = pybind11;
using namespace edge;

void bind_aravis(py::module_& m);
void bind_calibration(py::module_& m);
void bind_cuda(py::module_& m);
void bind_preprocess(py::module_& m);
void bind_region(py::module_& m);
void bind_records(py::module_& m);
void bind_routing(py::module_& m);
void bind_detector(py::module_& m);
void bind_loop(py::module_& m);

namespace {

void bind_enums(py::module_& m) {
  const char* base = "enum.IntEnum";
  py::native_enum<PixelFormat>(m, "PixelFormat", base)
      .value("MONO8", PixelFormat::MONO8)
      .value("BAYER_RG8", PixelFormat::BAYER_RG8)
      .value("BGR8", PixelFormat::BGR8)
      .value("BGRA8", PixelFormat::BGRA8)
      .finalize();
  py::native_enum<FrameStatus>(m, "FrameStatus", base)
      .value("OK", FrameStatus::OK)
      .value("INCOMPLETE", FrameStatus::INCOMPLETE)
      .value("CORRUPT", FrameStatus::CORRUPT)
      .value("OVERSIZE", FrameStatus::OVERSIZE)
      .value("STALE", FrameStatus::STALE)
      .value("UNLIT", FrameStatus::UNLIT)
      .finalize();
  py::native_enum<Verdict>(m, "Verdict", base)
      .value("NONE", Verdict::NONE)
      .value("PASS", Verdict::PASS)
      .value("REJECT", Verdict::REJECT)
      .value("NO_PART", Verdict::NO_PART)
      .finalize();
  py::native_enum<Reason>(m, "Reason", base)
      .value("NONE", Reason::NONE)
      .value("DEFECT", Reason::DEFECT)
      .value("UNCERTAIN", Reason::UNCERTAIN)
      .value("NO_TIME", Reason::NO_TIME)
      .value("OVERRUN", Reason::OVERRUN)
      .value("FRAME_LOST", Reason::FRAME_LOST)
      .value("FRAME_TORN", Reason::FRAME_TORN)
      .value("FRAME_CORRUPT", Reason::FRAME_CORRUPT)
      .value("FRAME_OVERSIZE", Reason::FRAME_OVERSIZE)
      .value("FRAME_STALE", Reason::FRAME_STALE)
      .value("UNDEREXPOSED", Reason::UNDEREXPOSED)
      .value("OVEREXPOSED", Reason::OVEREXPOSED)
      .value("ENGINE", Reason::ENGINE)
      .value("NO_VERDICT", Reason::NO_VERDICT)
      .value("PLC_SILENT", Reason::PLC_SILENT)
      .value("BLURRED", Reason::BLURRED)
      .value("SPEED", Reason::SPEED)
      .value("TRACKING", Reason::TRACKING)
      .finalize();
  py::native_enum<Route>(m, "Route", base)
      .value("NONE", Route::NONE)
      .value("GATE", Route::GATE)
      .value("CLASSIFIER", Route::CLASSIFIER)
      .finalize();
  py::native_enum<PlcResult>(m, "PlcResult", base)
      .value("PENDING", PlcResult::PENDING)
      .value("ACKED", PlcResult::ACKED)
      .value("LATE", PlcResult::LATE)
      .value("TIMEOUT", PlcResult::TIMEOUT)
      .value("REFUSED", PlcResult::REFUSED)
      .value("DISCONNECTED", PlcResult::DISCONNECTED)
      .value("SUPERSEDED", PlcResult::SUPERSEDED)
      .finalize();
  py::native_enum<JournalState>(m, "JournalState", base)
      .value("NONE", JournalState::NONE)
      .value("WRITTEN", JournalState::WRITTEN)
      .value("PAUSED", JournalState::PAUSED)
      .finalize();
  py::native_enum<LoopState>(m, "LoopState", base)
      .value("STARTING", LoopState::STARTING)
      .value("READY", LoopState::READY)
      .value("FAULT", LoopState::FAULT)
      .value("STOPPED", LoopState::STOPPED)
      .value("HELD", LoopState::HELD)
      .finalize();
}

void bind_clock(py::module_& m) {
  m.def("now_ns", &now_ns);
  m.def("sleep_until_ns", &sleep_until_ns, py::arg("deadline_ns"), py::call_guard<py::gil_scoped_release>());
  m.def("set_fifo_priority", &set_fifo_priority, py::arg("priority"));
  m.def("lock_memory", &lock_memory);
}

void bind_statistics(py::module_& m) {
  py::class_<Histogram>(m, "Histogram")
      .def(py::init<>())
      .def("add", &Histogram::add, py::arg("value_ns"))
      .def("quantile", &Histogram::quantile, py::arg("q"))
      .def("below", &Histogram::below, py::arg("value_ns"))
      .def_property_readonly("count", &Histogram::count)
      .def_property_readonly("max", &Histogram::max);
  py::class_<SlidingQuantile>(m, "SlidingQuantile")
      .def(py::init<size_t, double>(), py::arg("window"), py::arg("q"))
      .def("add", &SlidingQuantile::add, py::arg("value_ns"))
      .def("value", py::overload_cast<>(&SlidingQuantile::value, py::const_));
  auto doubt = py::class_<TailDoubt>(m, "TailDoubt")
                   .def(py::init<size_t>(), py::arg("window"))
                   .def("raise_", &TailDoubt::raise, py::arg("now_ns"))
                   .def_property_readonly("raised", &TailDoubt::raised)
                   .def("ran", &TailDoubt::ran, py::arg("took_ns"), py::arg("now_ns"), py::arg("known"));
  doubt.attr("RUNS") = TailDoubt::kRuns;
  doubt.attr("REST_NS") = TailDoubt::kRest;
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "Native core of the runtime. Times are CLOCK_MONOTONIC nanoseconds.";
  py::register_exception<CoreError>(m, "CoreError");
  bind_enums(m);
  bind_clock(m);
  bind_statistics(m);
  bind_preprocess(m);
  bind_calibration(m);
  bind_cuda(m);  // before the loop, whose engines may be graphs
  bind_routing(m);
  bind_region(m);
  bind_records(m);
  bind_aravis(m);    // after the region, whose slots it fills
  bind_detector(m);  // before the loop, whose engines take its boxes
  bind_loop(m);
}
