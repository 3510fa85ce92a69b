#include <pybind11/native_enum.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "clock.hpp"
#include "record_ring.hpp"

namespace py = pybind11;
using namespace edge;

namespace {

// Longer than any PLC time-out: a record still unfinished then has lost its actuation process.
constexpr int64_t kPatience = 3 * kSecond;

// Enumerations are plain bytes in the dtype, so the fields are listed by hand; offsets come from the structs.
py::dtype part_record_dtype() {
  py::list names, formats, offsets;
  const auto add = [&](const char* name, const char* format, size_t offset) {
    names.append(name);
    formats.append(format);
    offsets.append(offset);
  };
#define EDGE_IN(name, format) \
  add(#name, format, offsetof(PartRecord, inspection) + offsetof(InspectionHalf, name));
#define EDGE_OUT(name, format) \
  add(#name, format, offsetof(PartRecord, actuation) + offsetof(ActuationHalf, name));
  EDGE_IN(part_id, "u8")
  EDGE_IN(frame_id, "u8")
  EDGE_IN(encoder_count, "i8")
  EDGE_IN(triggered_ns, "i8")
  EDGE_IN(exposure_end_ns, "i8")
  EDGE_IN(received_ns, "i8")
  EDGE_IN(started_ns, "i8")
  EDGE_IN(gate_in_ns, "i8")
  EDGE_IN(gate_out_ns, "i8")
  EDGE_IN(classifier_in_ns, "i8")
  EDGE_IN(classifier_out_ns, "i8")
  EDGE_IN(decided_ns, "i8")
  EDGE_IN(deadline_ns, "i8")
  EDGE_IN(budget_ns, "i8")
  EDGE_IN(speed_um_per_s, "i4")
  EDGE_IN(verdict, "u1")
  EDGE_IN(reason, "u1")
  EDGE_IN(route, "u1")
  EDGE_IN(class_id, "u1")
  EDGE_IN(judged_verdict, "u1")
  EDGE_IN(judged_class_id, "u1")
  EDGE_IN(gate_class_id, "u1")
  EDGE_IN(frame_status, "u1")
  EDGE_IN(confidence, "f4")
  EDGE_IN(gate_good, "f4")
  EDGE_IN(gate_defect, "f4")
  EDGE_IN(gate_empty, "f4")
  EDGE_IN(classifier_good, "f4")
  EDGE_IN(classifier_defect, "f4")
  EDGE_IN(brightness_mean, "f4")
  EDGE_IN(dark_share, "f4")
  EDGE_IN(bright_share, "f4")
  EDGE_IN(width, "u4")
  EDGE_IN(height, "u4")
  EDGE_IN(gate_raw_good, "f4")
  EDGE_IN(gate_raw_defect, "f4")
  EDGE_IN(gate_raw_empty, "f4")
  EDGE_IN(classifier_raw_good, "f4")
  EDGE_IN(classifier_raw_defect, "f4")
  EDGE_IN(second_good, "f4")
  EDGE_IN(limit_gate_good, "f4")
  EDGE_IN(limit_gate_defect, "f4")
  EDGE_IN(limit_gate_empty, "f4")
  EDGE_IN(limit_classifier_good, "f4")
  EDGE_IN(limit_retest_good, "f4")
  EDGE_IN(sharpness, "f4")
  EDGE_IN(defect_size_mm, "f4")
  EDGE_IN(defect_x, "f4")
  EDGE_IN(defect_y, "f4")
  EDGE_IN(classifier_needs_ns, "i8")
  EDGE_IN(classifier_left_ns, "i8")
  EDGE_IN(row_um_per_s, "i4")
  EDGE_IN(looks, "u1")
  EDGE_IN(frames, "u1")
  EDGE_IN(action, "u1")
  EDGE_IN(bin, "u1")
  EDGE_IN(rule, "u1")
  EDGE_IN(recipe_earlier, "u1")
  EDGE_IN(recipe, "u2")
  EDGE_OUT(queued_ns, "i8")
  EDGE_OUT(sent_ns, "i8")
  EDGE_OUT(ack_ns, "i8")
  EDGE_OUT(final_verdict, "u1")
  EDGE_OUT(final_reason, "u1")
  EDGE_OUT(plc_result, "u1")
#undef EDGE_IN
#undef EDGE_OUT
  return py::dtype(names, formats, offsets, sizeof(PartRecord));
}

py::array as_array(const std::vector<PartRecord>& records) {
  py::array out(part_record_dtype(), static_cast<py::ssize_t>(records.size()));
  if (!records.empty()) {
    std::memcpy(out.mutable_data(), records.data(), records.size() * sizeof(PartRecord));
  }
  return out;
}

uint64_t append_unjudged(RecordRing& ring, uint64_t part_id, int64_t encoder_count, int64_t triggered_ns,
                         int64_t deadline_ns, uint16_t recipe, bool earlier) {
  InspectionHalf half{};
  half.part_id = part_id;
  half.recipe = recipe;
  half.recipe_earlier = earlier ? 1 : 0;
  half.encoder_count = encoder_count;
  half.triggered_ns = triggered_ns;
  half.decided_ns = now_ns();
  half.deadline_ns = deadline_ns;
  half.verdict = Verdict::REJECT;
  half.reason = Reason::NO_VERDICT;
  return ring.append(half);
}

}  // namespace

void bind_records(py::module_& m) {
  m.attr("PART_RECORD_DTYPE") = part_record_dtype();
  py::class_<RecordRing, std::shared_ptr<RecordRing>>(m, "RecordRing")
      .def_static("create", &RecordRing::create, py::arg("path"), py::kw_only(), py::arg("capacity"))
      .def_static("attach", &RecordRing::attach, py::arg("path"))
      .def_property_readonly("head", &RecordRing::head)
      .def_property_readonly("capacity", &RecordRing::capacity)
      .def_property_readonly("identity", &RecordRing::identity)
      .def(
          "acknowledge",
          [](RecordRing& ring, uint64_t index, Verdict verdict, Reason reason, PlcResult result,
             int64_t queued_ns, int64_t sent_ns, int64_t ack_ns) {
            ring.acknowledge(index, {queued_ns, sent_ns, ack_ns, verdict, reason, result, {}});
          },
          py::arg("index"), py::kw_only(), py::arg("verdict"), py::arg("reason"), py::arg("result"),
          py::arg("queued_ns"), py::arg("sent_ns"), py::arg("ack_ns"))
      .def("append_unjudged", &append_unjudged, py::kw_only(), py::arg("part_id"), py::arg("encoder_count"),
           py::arg("triggered_ns"), py::arg("deadline_ns"), py::arg("recipe") = 0,
           py::arg("recipe_earlier") = false)
      .def(
          "newest",
          [](const RecordRing& ring, uint64_t limit) {
            py::list found;
            for (const auto& r : ring.newest(limit)) {
              found.append(py::make_tuple(r.index, r.part_id, r.encoder_count, r.triggered_ns, r.finished));
            }
            return found;
          },
          py::arg("limit") = 4096)
      .def(
          "reader",
          [](std::shared_ptr<RecordRing> ring, bool oldest) {
            const uint64_t head = ring->head(), kept = std::min<uint64_t>(head, ring->capacity());
            return RecordRing::Reader(ring, oldest ? head - kept : head);
          },
          py::kw_only(), py::arg("oldest") = false)
      .def(
          "reader_at",
          [](std::shared_ptr<RecordRing> ring, uint64_t index) { return RecordRing::Reader(ring, index); },
          py::arg("index"));
  py::class_<RecordRing::Reader>(m, "RecordReader")
      .def(
          "read",
          [](RecordRing::Reader& reader, size_t limit) { return as_array(reader.read(limit, kPatience)); },
          py::arg("limit") = 256)
      .def(
          "read_indexed",
          [](RecordRing::Reader& reader, size_t limit) {
            std::vector<uint64_t> indices;
            auto records = as_array(reader.read(limit, kPatience, &indices));
            return py::make_tuple(records, indices);
          },
          py::arg("limit") = 256)
      .def_property_readonly("cursor", &RecordRing::Reader::cursor)
      .def_property_readonly("lost", &RecordRing::Reader::lost);
}
