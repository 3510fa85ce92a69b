#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "allocations.hpp"
#include "box_scores.hpp"
#include "check.hpp"
#include "detector.hpp"
#include "error.hpp"

using namespace edge;

namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

DetectorSettings settings(DetectorKind kind, size_t classes = 3) {
  DetectorSettings s;
  s.kind = kind;
  s.input_width = 96;
  s.input_height = 64;
  s.classes = classes;
  s.strides = {8, 16, 32};
  return s;
}

std::vector<float> quiet(const Detector& detector) {
  return std::vector<float>(detector.locations() * detector.outputs(), 0.0F);
}

// A box of NANODET_PLUS whose sides are whole numbers of strides away from its location.
void put_box(std::vector<float>& raw, const Detector& d, size_t location, size_t class_id, float score,
             int side) {
  float* row = raw.data() + location * d.outputs();
  row[class_id] = score;
  for (int k = 0; k < 4; ++k) row[d.settings().classes + static_cast<size_t>(8 * k + side)] = 40;
}

BoxScores part_and_two_defects() {
  BoxScoresSettings s;
  s.classes = {{-1, 1, 0}, {2, 1, 0}, {3, 1, 0}};
  s.part_class = 0;
  s.scores = 4, s.good = 1, s.empty = 0;
  return BoxScores(Detector(settings(DetectorKind::NANODET_PLUS)), s);
}

TEST(detector_counts_locations_of_each_layout) {
  CHECK(Detector(settings(DetectorKind::NANODET_PLUS)).locations() == 12 * 8 + 6 * 4 + 3 * 2);
  CHECK(Detector(settings(DetectorKind::YOLOX)).locations() == 126);
  CHECK(Detector(settings(DetectorKind::YOLOV5)).locations() == 3 * 126);
  CHECK(Detector(settings(DetectorKind::NANODET_PLUS)).outputs() == 3 + 32);
  CHECK(Detector(settings(DetectorKind::YOLOV5)).outputs() == 8);
}

TEST(detector_finds_one_box_and_suppresses_within_its_class_only) {
  Detector detector(settings(DetectorKind::NANODET_PLUS));
  auto raw = quiet(detector);
  put_box(raw, detector, 12 * 3 + 5, 1, 0.9F, 2);     // centre (40, 24), 16 pixels to every side
  put_box(raw, detector, 12 * 3 + 6, 1, 0.8F, 2);     // 8 pixels beside it, same class: suppressed at 0.6
  raw[(12 * 3 + 5) * detector.outputs() + 2] = 0.7F;  // same box, another class: stays
  CHECK(detector.decode(raw.data()));
  CHECK(detector.detections().size() == 3);  // IoU of the neighbours is 0.6 exactly: not above
  auto strict = settings(DetectorKind::NANODET_PLUS);
  strict.nms_iou = 0.55F;
  Detector second(strict);
  CHECK(second.decode(raw.data()));
  CHECK(second.detections().size() == 2);
  const Detection& best = second.detections()[0];
  CHECK(best.class_id == 1 && best.score == 0.9F);
  CHECK(std::abs(best.x1 - 24) < 1e-3F && std::abs(best.y2 - 40) < 1e-3F);
}

TEST(detector_flags_what_is_no_output) {
  for (const DetectorKind kind : {DetectorKind::NANODET_PLUS, DetectorKind::YOLOV5, DetectorKind::YOLOX}) {
    Detector detector(settings(kind));
    for (const float bad :
         {kNan, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
      for (const size_t at :
           {size_t{0}, detector.outputs() * 57 + 4, detector.outputs() * detector.locations() - 1}) {
        auto raw = quiet(detector);
        CHECK(detector.decode(raw.data()));
        raw[at] = bad;
        CHECK(!detector.decode(raw.data()));
        CHECK(detector.detections().empty());
      }
    }
    auto raw = quiet(detector);
    raw[detector.outputs() - (kind == DetectorKind::NANODET_PLUS ? detector.outputs() : 1)] = 3;
    CHECK(!detector.decode(raw.data()));
  }
}

TEST(box_scores_add_up_and_turn_to_nan_with_a_broken_output) {
  BoxScores scores = part_and_two_defects();
  auto raw = quiet(scores.detector());
  put_box(raw, scores.detector(), 100, 0, 0.95F, 3);
  CHECK(scores.decode(raw.data()));
  CHECK(scores.scores()[1] > 0.94F && scores.part().score == 0.95F);
  put_box(raw, scores.detector(), 20, 2, 0.8F, 1);
  CHECK(scores.decode(raw.data()));
  CHECK(scores.scores()[3] > 0.79F && scores.defect().class_id == 3);
  float sum = 0;
  for (const float s : scores.scores()) sum += s;
  CHECK(std::abs(sum - 1) < 1e-5F);
  raw[17] = kNan;
  CHECK(!scores.decode(raw.data()));
  for (const float s : scores.scores()) CHECK(std::isnan(s));
  CHECK(scores.part().score == 0 && scores.defect().score == 0);
}

TEST(detector_allocates_nothing_and_stays_bounded_on_noise) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> value(0, 1);
  for (const DetectorKind kind : {DetectorKind::NANODET_PLUS, DetectorKind::YOLOV5, DetectorKind::YOLOX}) {
    auto s = settings(kind);
    s.max_candidates = 50, s.max_detections = 10;
    BoxScoresSettings meaning;
    meaning.classes = {{-1, 1, 0}, {2, 1, 0}, {3, 2, 0.5F}};
    meaning.part_class = 0, meaning.scores = 4, meaning.good = 1, meaning.empty = 0;
    BoxScores scores{Detector(s), meaning};
    auto raw = quiet(scores.detector());
    const size_t before = allocations();
    for (int run = 0; run < 20; ++run) {
      for (float& v : raw) v = value(random);
      CHECK(scores.decode(raw.data()));
      CHECK(scores.detector().detections().size() <= 10);
      for (const Detection& d : scores.detector().detections()) {
        CHECK(d.x1 >= 0 && d.y1 >= 0 && d.x2 <= 96 && d.y2 <= 64);
      }
    }
    CHECK(allocations() == before);
  }
}

TEST(yolox_with_enormous_exponents_stays_in_the_picture) {
  Detector detector(settings(DetectorKind::YOLOX));
  auto raw = quiet(detector);
  raw[2] = raw[3] = 1e30F;
  raw[4] = raw[5] = 1;
  CHECK(detector.decode(raw.data()));
  CHECK(detector.detections().size() == 1);
  CHECK(detector.detections()[0].x1 == 0 && detector.detections()[0].x2 == 96);
}

TEST(detector_refuses_settings_that_cannot_be) {
  const auto refused = [](const DetectorSettings& s) {
    try {
      Detector detector(s);
    } catch (const CoreError&) {
      return true;
    }
    return false;
  };
  auto s = settings(DetectorKind::NANODET_PLUS);
  CHECK(!refused(s));
  s.strides = {};
  CHECK(refused(s));
  s = settings(DetectorKind::YOLOX);
  s.input_width = 0;
  CHECK(refused(s));
  s = settings(DetectorKind::YOLOX);
  s.strides = {1}, s.input_width = 4096, s.input_height = 4096;
  CHECK(refused(s));
}

}  // namespace
