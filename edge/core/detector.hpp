// From a detector's raw output to boxes. Bounded: nothing is allocated after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edge {

// Output layouts of public exports, batch 1, one row per location:
//   NANODET_PLUS  class scores, then 4 distributions of reg_max + 1 logits (left, top, right, bottom, in
//                 strides); locations at column * stride, row * stride
//   YOLOV5        cx, cy, w, h in pixels, objectness, class scores; anchors_per_cell rows per cell.
//                 With one anchor also a YOLOX that was exported with its decoding
//   YOLOX         cx, cy in cells from the cell, log w, log h in strides, objectness, class scores
enum class DetectorKind : int { NANODET_PLUS = 0, YOLOV5 = 1, YOLOX = 2 };

struct Detection {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // pixels of the engine's input, within it
  float score = 0;
  int32_t class_id = 0;
};

float box_iou(const Detection& a, const Detection& b);

struct DetectorSettings {
  DetectorKind kind = DetectorKind::NANODET_PLUS;
  int input_width = 0, input_height = 0;
  size_t classes = 0;
  std::vector<int> strides{8, 16, 32, 64};
  int reg_max = 7;           // NANODET_PLUS
  int anchors_per_cell = 3;  // YOLOV5
  float min_score = 0.05F, nms_iou = 0.6F;
  size_t max_candidates = 1000, max_detections = 100;
};

class Detector {
 public:
  explicit Detector(DetectorSettings settings);  // throws CoreError

  // `raw` has locations() rows of outputs() floats. False, and nothing found: a value is not finite, or a
  // score is outside [0, 1].
  bool decode(const float* raw);

  // After non-maximum suppression within each class, best first.
  const std::vector<Detection>& detections() const { return kept_; }
  // The best location of a class, even below min_score and before suppression.
  const Detection& best(size_t class_id) const { return best_[class_id]; }

  size_t locations() const { return places_.size(); }
  size_t outputs() const { return outputs_; }
  const DetectorSettings& settings() const { return settings_; }

 private:
  struct Place {
    float x, y, stride;
  };
  struct Candidate {
    float score;
    uint32_t location;
    int32_t class_id;
  };

  struct RowNews {
    bool fine, any;
  };

  static bool better(const Candidate& a, const Candidate& b);
  bool sound(const float* raw) const;
  RowNews scores_of(const float* row);
  void look_at(uint32_t location);
  void offer(const Candidate& candidate);
  void suppress(const float* raw);
  Detection box_of(const float* row, const Place& place, float score, int32_t class_id) const;

  DetectorSettings settings_;
  size_t outputs_ = 0;
  std::vector<Place> places_;
  std::vector<float> scores_;       // of the location in work
  std::vector<float> best_scores_;  // per class, so far
  std::vector<Candidate> candidates_, best_candidate_;
  std::vector<Detection> kept_, best_;
};

}  // namespace edge
