#include <pybind11/native_enum.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "error.hpp"
#include "region.hpp"

namespace py = pybind11;
using namespace edge;

namespace {

// A claimed ring slot; given up exactly once, by publish, drop or destruction.
struct FrameSlot {
  std::shared_ptr<Region> region;
  uint64_t index;
  bool held = true;

  ~FrameSlot() { drop(); }
  void drop() {
    if (held) region->drop(index);
    held = false;
  }
  void publish(const FrameHeader& header) {
    if (!held) throw CoreError("this frame slot was given up already");
    held = false;
    region->publish(index, header);
  }
};

struct VerdictReader {
  std::shared_ptr<Region> region;
  VerdictRing::Reader reader;
};

struct TriggerReader {
  std::shared_ptr<Region> region;
  TriggerRing::Reader reader;
};

void bind_frames(py::module_& m) {
  py::class_<FrameSlot, std::shared_ptr<FrameSlot>>(m, "FrameSlot")
      .def_property_readonly("pixels",
                             [](py::object self) {
                               auto& slot = self.cast<FrameSlot&>();
                               if (!slot.held) throw CoreError("this frame slot was given up already");
                               return py::array_t<uint8_t>(
                                   static_cast<py::ssize_t>(slot.region->slot_bytes()),
                                   slot.region->pixels(slot.index), self);
                             })
      .def(
          "publish",
          [](FrameSlot& slot, uint64_t frame_id, uint64_t trigger_id, int64_t encoder_count,
             int64_t exposure_end_ns, uint32_t width, uint32_t height, uint32_t stride,
             PixelFormat pixel_format, FrameStatus status) {
            FrameHeader header{};
            header.frame_id = frame_id;
            header.trigger_id = trigger_id;
            header.encoder_count = encoder_count;
            header.exposure_end_ns = exposure_end_ns;
            header.width = width;
            header.height = height;
            header.stride = stride;
            header.pixel_format = pixel_format;
            header.status = status;
            slot.publish(header);
          },
          py::kw_only(), py::arg("frame_id"), py::arg("trigger_id"), py::arg("encoder_count"),
          py::arg("exposure_end_ns"), py::arg("width"), py::arg("height"), py::arg("stride"),
          py::arg("pixel_format"), py::arg("status") = FrameStatus::OK)
      .def("drop", &FrameSlot::drop);

  auto view = py::class_<FrameCopy>(m, "FrameView");
#define EDGE_FIELD(name) view.def_property_readonly(#name, [](const FrameCopy& f) { return f.header.name; });
  EDGE_FIELD(frame_id)
  EDGE_FIELD(trigger_id)
  EDGE_FIELD(encoder_count)
  EDGE_FIELD(exposure_end_ns)
  EDGE_FIELD(received_ns)
  EDGE_FIELD(width)
  EDGE_FIELD(height)
  EDGE_FIELD(stride)
  EDGE_FIELD(pixel_format)
  EDGE_FIELD(status)
#undef EDGE_FIELD
  view.def_property_readonly("pixels", [](py::object self) {
    const auto& f = self.cast<const FrameCopy&>();
    return py::array_t<uint8_t>(static_cast<py::ssize_t>(f.pixels.size()), f.pixels.data(), self);
  });
}

void bind_queues(py::module_& m) {
  py::class_<TriggerReader>(m, "TriggerReader")
      .def("read",
           [](TriggerReader& r) -> py::object {
             Trigger t;
             if (!r.reader.read(t)) return py::none();
             return py::make_tuple(t.trigger_id, t.encoder_count, t.stamp_ns);
           })
      .def_property_readonly("lost", [](const TriggerReader& r) { return r.reader.lost(); });

  py::class_<VerdictEntry>(m, "VerdictEntry")
      .def_readonly("part_id", &VerdictEntry::part_id)
      .def_readonly("encoder_count", &VerdictEntry::encoder_count)
      .def_readonly("verdict", &VerdictEntry::verdict)
      .def_readonly("reason", &VerdictEntry::reason)
      .def_readonly("route", &VerdictEntry::route)
      .def_readonly("class_id", &VerdictEntry::class_id)
      .def_readonly("action", &VerdictEntry::action)
      .def_readonly("bin", &VerdictEntry::bin)
      .def_readonly("confidence", &VerdictEntry::confidence)
      .def_readonly("triggered_ns", &VerdictEntry::triggered_ns)
      .def_readonly("received_ns", &VerdictEntry::received_ns)
      .def_readonly("decided_ns", &VerdictEntry::decided_ns)
      .def_readonly("deadline_ns", &VerdictEntry::deadline_ns)
      .def_readonly("record_index", &VerdictEntry::record_index);

  py::class_<VerdictReader>(m, "VerdictReader")
      .def("read",
           [](VerdictReader& r) -> py::object {
             VerdictEntry e;
             if (!r.reader.read(e)) return py::none();
             return py::cast(e);
           })
      .def_property_readonly("lost", [](const VerdictReader& r) { return r.reader.lost(); });
}

// Keeps the region alive for as long as Python holds its status.
struct StatusView {
  std::shared_ptr<Region> region;
};

void bind_status(py::module_& m) {
  auto status = py::class_<StatusView>(m, "LineStatus");
#define EDGE_BIND(name)                                                                                   \
  status.def_property(                                                                                    \
      #name, [](const StatusView& s) { return s.region->status().name.load(std::memory_order_acquire); }, \
      [](StatusView& s, int64_t value) {                                                                  \
        s.region->status().name.store(value, std::memory_order_release);                                  \
      });
  EDGE_STATUS_FIELDS(EDGE_BIND)
#undef EDGE_BIND
}

}  // namespace

void bind_region(py::module_& m) {
  bind_frames(m);
  bind_queues(m);
  bind_status(m);
  py::class_<Region, std::shared_ptr<Region>>(m, "Region")
      .def_static("create", &Region::create, py::arg("path"), py::kw_only(), py::arg("frame_slots"),
                  py::arg("slot_bytes"))
      .def_static("attach", &Region::attach, py::arg("path"))
      .def_property_readonly("status", [](std::shared_ptr<Region> r) { return StatusView{std::move(r)}; })
      .def_property_readonly("slot_bytes", &Region::slot_bytes)
      .def("discard_frames", &Region::discard_waiting)
      .def("reclaim_slots", &Region::reclaim)
      .def(
          "slot_address",
          [](Region& r, uint64_t index) { return reinterpret_cast<uintptr_t>(r.pixels(index)); },
          py::arg("index"))
      .def("claim_slot",
           [](std::shared_ptr<Region> r) -> std::shared_ptr<FrameSlot> {
             const auto index = r->claim();
             if (!index) return nullptr;
             return std::make_shared<FrameSlot>(FrameSlot{std::move(r), *index});
           })
      .def("copy_frame", &Region::copy_frame, py::arg("trigger_id"), py::call_guard<py::gil_scoped_release>())
      .def(
          "push_trigger",
          [](Region& r, uint64_t id, int64_t encoder, int64_t stamp) {
            r.push_trigger({id, encoder, stamp});
          },
          py::arg("trigger_id"), py::arg("encoder_count"), py::arg("stamp_ns"))
      .def(
          "push_verdict",
          [](Region& r, uint64_t part_id, int64_t encoder_count, Verdict verdict, Reason reason, Route route,
             uint8_t class_id, float confidence, int64_t triggered_ns, int64_t received_ns,
             int64_t decided_ns, int64_t deadline_ns, uint64_t record_index) {
            r.push_verdict({part_id, encoder_count, triggered_ns, received_ns, decided_ns, deadline_ns,
                            record_index, confidence, verdict, reason, route, class_id, Action::NONE, 0});
          },
          py::kw_only(), py::arg("part_id"), py::arg("encoder_count"), py::arg("verdict"), py::arg("reason"),
          py::arg("route"), py::arg("class_id"), py::arg("confidence"), py::arg("triggered_ns"),
          py::arg("received_ns"), py::arg("decided_ns"), py::arg("deadline_ns"), py::arg("record_index"))
      .def("trigger_reader",
           [](std::shared_ptr<Region> r) {
             auto reader = r->header().triggers.reader();
             return TriggerReader{std::move(r), reader};
           })
      .def("verdict_reader",
           [](std::shared_ptr<Region> r) {
             auto reader = r->header().verdicts.reader();
             return VerdictReader{std::move(r), reader};
           })
      .def("ring_loop", [](Region& r) { r.header().loop_bell.ring(); })
      .def("actuation_bell", [](Region& r) { return r.header().actuation_bell.count(); })
      .def(
          "wait_actuation",
          [](Region& r, uint32_t seen, int64_t deadline_ns) {
            r.header().actuation_bell.wait(seen, deadline_ns);
          },
          py::arg("seen"), py::arg("deadline_ns"), py::call_guard<py::gil_scoped_release>())
      .def(
          "spin_actuation",
          [](Region& r, uint32_t seen, int64_t deadline_ns) {
            r.header().actuation_bell.spin(seen, deadline_ns);
          },
          py::arg("seen"), py::arg("deadline_ns"), py::call_guard<py::gil_scoped_release>());
}
