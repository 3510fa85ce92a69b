#include <pybind11/native_enum.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <tuple>

#include "box_scores.hpp"
#include "detector.hpp"
#include "error.hpp"

namespace py = pybind11;
using namespace edge;

namespace {

using Raw = py::array_t<float, py::array::c_style>;

const float* checked(const Detector& detector, const Raw& raw) {
  const size_t wanted = detector.locations() * detector.outputs();
  if (static_cast<size_t>(raw.size()) != wanted) {
    throw CoreError("detector output: " + std::to_string(raw.size()) + " numbers found, expected " +
                    std::to_string(detector.locations()) + " locations of " +
                    std::to_string(detector.outputs()) + "; kind, strides, reg_max or classes do not fit it");
  }
  return raw.data();
}

py::array_t<float> table(const std::vector<Detection>& found) {
  py::array_t<float> rows({static_cast<py::ssize_t>(found.size()), py::ssize_t{6}});
  auto value = rows.mutable_unchecked<2>();
  for (size_t i = 0; i < found.size(); ++i) {
    const Detection& d = found[i];
    const float row[6] = {d.x1, d.y1, d.x2, d.y2, d.score, static_cast<float>(d.class_id)};
    for (py::ssize_t j = 0; j < 6; ++j) value(static_cast<py::ssize_t>(i), j) = row[j];
  }
  return rows;
}

py::object box(const Detection& d) {
  if (d.score <= 0) return py::none();
  return py::make_tuple(d.x1, d.y1, d.x2, d.y2, d.score, d.class_id);
}

std::shared_ptr<BoxScores> make_box_scores(const Detector& detector,
                                           const std::vector<std::tuple<int, float, float>>& classes,
                                           int part_class, size_t scores, size_t good, size_t empty) {
  BoxScoresSettings settings;
  for (const auto& [score_class, gain, bias] : classes) settings.classes.push_back({score_class, gain, bias});
  settings.part_class = part_class;
  settings.scores = scores;
  settings.good = good;
  settings.empty = empty;
  return std::make_shared<BoxScores>(detector, settings);
}

}  // namespace

void bind_detector(py::module_& m) {
  py::native_enum<DetectorKind>(m, "DetectorKind", "enum.IntEnum")
      .value("NANODET_PLUS", DetectorKind::NANODET_PLUS)
      .value("YOLOV5", DetectorKind::YOLOV5)
      .value("YOLOX", DetectorKind::YOLOX)
      .finalize();

  py::class_<Detector>(m, "Detector")
      .def(py::init([](DetectorKind kind, int width, int height, size_t classes, std::vector<int> strides,
                       int reg_max, int anchors_per_cell, float min_score, float nms_iou,
                       size_t max_candidates, size_t max_detections) {
             return Detector({kind, width, height, classes, std::move(strides), reg_max, anchors_per_cell,
                              min_score, nms_iou, max_candidates, max_detections});
           }),
           py::kw_only(), py::arg("kind"), py::arg("input_width"), py::arg("input_height"),
           py::arg("classes"), py::arg("strides") = std::vector<int>{8, 16, 32, 64}, py::arg("reg_max") = 7,
           py::arg("anchors_per_cell") = 3, py::arg("min_score") = 0.05F, py::arg("nms_iou") = 0.6F,
           py::arg("max_candidates") = 1000, py::arg("max_detections") = 100)
      .def(
          "decode", [](Detector& self, const Raw& raw) { return self.decode(checked(self, raw)); },
          py::arg("raw").noconvert())
      .def_property_readonly("detections", [](const Detector& self) { return table(self.detections()); })
      .def_property_readonly("locations", &Detector::locations)
      .def_property_readonly("outputs", &Detector::outputs);

  py::class_<BoxScores, std::shared_ptr<BoxScores>>(m, "BoxScores")
      .def(py::init(&make_box_scores), py::kw_only(), py::arg("detector"), py::arg("classes"),
           py::arg("part_class"), py::arg("scores"), py::arg("good"), py::arg("empty"))
      .def(
          "decode",
          [](BoxScores& self, const Raw& raw) { return self.decode(checked(self.detector(), raw)); },
          py::arg("raw").noconvert())
      .def_property_readonly("scores",
                             [](const py::object& self) {
                               const auto& scores = self.cast<const BoxScores&>().scores();
                               return py::array_t<float>(
                                   {py::ssize_t{1}, static_cast<py::ssize_t>(scores.size())}, scores.data(),
                                   self);
                             })
      .def_property_readonly("detections",
                             [](const BoxScores& self) { return table(self.detector().detections()); })
      .def_property_readonly("shape",
                             [](const BoxScores& self) {
                               return py::make_tuple(self.detector().locations(), self.detector().outputs());
                             })
      .def_property_readonly("part", [](const BoxScores& self) { return box(self.part()); })
      .def_property_readonly("defect", [](const BoxScores& self) { return box(self.defect()); });
}
