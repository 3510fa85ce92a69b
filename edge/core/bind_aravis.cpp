#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "aravis_capture.hpp"
#include "aravis_device.hpp"

namespace py = pybind11;
using namespace edge;

namespace {

void bind_device(py::module_& m) {
  using Free = py::call_guard<py::gil_scoped_release>;
  py::class_<AravisFound>(m, "AravisFound")
      .def_readonly("id", &AravisFound::id)
      .def_readonly("address", &AravisFound::address)
      .def_readonly("vendor", &AravisFound::vendor)
      .def_readonly("model", &AravisFound::model)
      .def_readonly("serial", &AravisFound::serial)
      .def_readonly("protocol", &AravisFound::protocol);
  m.def(
      "load_aravis", [](const std::string& library) { AravisLibrary::load(library); },
      py::arg("library") = "libaravis-0.8.so.0");
  py::class_<AravisDevice, std::shared_ptr<AravisDevice>>(m, "AravisDevice")
      .def_static("list", &AravisDevice::list, Free())
      .def_static("open", &AravisDevice::open, py::arg("id"), Free())
      .def_static("open_at", &AravisDevice::open_at, py::arg("interface_ip"), py::arg("device_ip"), Free())
      .def("close", &AravisDevice::close, Free())
      .def_property_readonly("is_gige", &AravisDevice::is_gige)
      .def_property_readonly("in_control", &AravisDevice::in_control)
      .def_property_readonly("interface_ip", &AravisDevice::interface_ip)
      .def_property_readonly("device_ip", &AravisDevice::device_ip)
      .def_property_readonly("is_loopback", &AravisDevice::is_loopback)
      .def("has", &AravisDevice::has, py::arg("feature"), Free())
      .def("text", &AravisDevice::text, py::arg("feature"), Free())
      .def("set_text", &AravisDevice::set_text, py::arg("feature"), py::arg("value"), Free())
      .def("integer", &AravisDevice::integer, py::arg("feature"), Free())
      .def("set_integer", &AravisDevice::set_integer, py::arg("feature"), py::arg("value"), Free())
      .def(
          "steps",
          [](const AravisDevice& d, const std::string& feature) {
            const AravisDevice::Steps s = d.steps(feature);
            return std::make_tuple(s.lowest, s.highest, s.step);
          },
          py::arg("feature"), Free())
      .def("choices", &AravisDevice::choices, py::arg("feature"), Free())
      .def("exposure_bounds_us", &AravisDevice::exposure_bounds_us, Free())
      .def("exposure_us", &AravisDevice::exposure_us, Free())
      .def("set_exposure_us", &AravisDevice::set_exposure_us, py::arg("value"), Free())
      .def("gain_bounds", &AravisDevice::gain_bounds, Free())
      .def("gain", &AravisDevice::gain, Free())
      .def("set_gain", &AravisDevice::set_gain, py::arg("value"), Free())
      .def("frame_rate", &AravisDevice::frame_rate, Free())
      .def("set_frame_rate", &AravisDevice::set_frame_rate, py::arg("value"), Free())
      .def("set_region", &AravisDevice::set_region, py::arg("x"), py::arg("y"), py::arg("width"),
           py::arg("height"), Free())
      .def("payload", &AravisDevice::payload, Free())
      .def("set_packet_size", &AravisDevice::set_packet_size, py::arg("size_bytes"), Free())
      .def("packet_size", &AravisDevice::packet_size, Free())
      .def("use_packet_socket", &AravisDevice::use_packet_socket, py::arg("wanted"), Free())
      .def("set_chunks", &AravisDevice::set_chunks, py::arg("names"), Free())
      .def("set_trigger", &AravisDevice::set_trigger, py::arg("source"), Free())
      .def("clear_trigger", &AravisDevice::clear_trigger, Free())
      .def("software_trigger", &AravisDevice::software_trigger, Free())
      .def("start", &AravisDevice::start, Free())
      .def("stop", &AravisDevice::stop, Free());
}

CaptureSettings settings_of(const py::kwargs& values) {
  CaptureSettings s;
  for (const auto& [key, value] : values) {
    const auto name = key.cast<std::string>();
#define EDGE_SETTING(field)                    \
  if (name == #field) {                        \
    s.field = value.cast<decltype(s.field)>(); \
    continue;                                  \
  }
    EDGE_SETTING(part_sensor)
    EDGE_SETTING(buffers)
    EDGE_SETTING(frame_timeout_ns)
    EDGE_SETTING(lost_after)
    EDGE_SETTING(silence_ns)
    EDGE_SETTING(counts_per_ns)
    EDGE_SETTING(belt_start_ns)
    EDGE_SETTING(utc_stamps)
    EDGE_SETTING(trigger_lag_ns)
    EDGE_SETTING(exposure_ns)
    EDGE_SETTING(chunk_exposure)
    EDGE_SETTING(socket_buffer_bytes)
    EDGE_SETTING(resend)
    EDGE_SETTING(retention_ns)
    EDGE_SETTING(fifo_priority)
#undef EDGE_SETTING
    throw CoreError("AravisCapture has no setting '" + name + "'");
  }
  return s;
}

}  // namespace

void bind_aravis(py::module_& m) {
  bind_device(m);
  using Free = py::call_guard<py::gil_scoped_release>;
  py::class_<CaptureLast>(m, "CaptureLast")
      .def_readonly("slot", &CaptureLast::slot)
      .def_readonly("frame_id", &CaptureLast::frame_id)
      .def_readonly("trigger_id", &CaptureLast::trigger_id)
      .def_readonly("exposed_ns", &CaptureLast::exposed_ns)
      .def_readonly("exposure_ns", &CaptureLast::exposure_ns)
      .def_readonly("status", &CaptureLast::status)
      .def_property_readonly("address",
                             [](const CaptureLast& l) { return reinterpret_cast<uintptr_t>(l.address); });
  py::class_<AravisCapture, std::shared_ptr<AravisCapture>>(m, "AravisCapture")
      .def(py::init([](std::shared_ptr<Region> region, const py::kwargs& values) {
        return std::make_shared<AravisCapture>(std::move(region), settings_of(values));
      }))
      .def("start", &AravisCapture::start, py::arg("device"), Free())
      .def("stop", &AravisCapture::stop, Free())
      .def(
          "expect",
          [](AravisCapture& c, uint64_t id, int64_t encoder, int64_t stamp) {
            c.expect({id, encoder, stamp});
          },
          py::arg("trigger_id"), py::arg("encoder_count"), py::arg("stamp_ns"), Free())
      .def("set_exposure_ns", &AravisCapture::set_exposure_ns, py::arg("value"))
      .def_property_readonly("lost", &AravisCapture::lost)
      .def_property_readonly("stale", &AravisCapture::stale)
      .def_property_readonly("unmatched", &AravisCapture::unmatched)
      .def_property_readonly("underruns", &AravisCapture::underruns)
      .def_property_readonly("driver_cpu_ns", &AravisCapture::driver_cpu_ns)
      .def_property_readonly("cpu_ns", &AravisCapture::cpu_ns)
      .def_property_readonly("last", &AravisCapture::last);
}
