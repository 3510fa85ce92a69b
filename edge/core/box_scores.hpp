// What a detector's boxes mean for the loop: one score per class of the engine, the part's box, the worst
// defect.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "detector.hpp"

namespace edge {

// How one class of boxes counts: its best score s becomes q = sigmoid(gain * logit(s) + bias).
struct BoxClass {
  int32_t score_class = -1;  // index into the engine's scores; -1: the boxes of this class mean nothing
  float gain = 1, bias = 0;
};

struct BoxScoresSettings {
  std::vector<BoxClass> classes;  // one per class of boxes
  int32_t part_class = -1;        // class of boxes that is the part itself; -1: there always is a part
  size_t scores = 0, good = 0, empty = 0;
};

// any = 1 - product(1 - q) over the defects. Score of a defect: any * q / sum(q). Score of the good class:
// q_part * (1 - any), of the empty class: (1 - q_part) * (1 - any). They add up to 1. A defect without a part
// is a defect: in doubt a part is rejected.
class BoxScores {
 public:
  BoxScores(Detector detector, BoxScoresSettings settings);  // throws CoreError

  // False: the output cannot be what a detector says; every score is NaN then, which the loop counts as a
  // fault.
  bool decode(const float* raw);

  const std::vector<float>& scores() const { return scores_; }
  // Where the part is; score 0: no class of boxes is the part, or nothing was decoded.
  const Detection& part() const { return part_; }
  // The box behind the highest q of a defect; score 0: none. class_id: index into the engine's scores.
  const Detection& defect() const { return defect_; }
  const Detector& detector() const { return detector_; }

 private:
  float evidence(size_t box_class) const;
  bool is_defect(size_t box_class) const;

  Detector detector_;
  BoxScoresSettings settings_;
  std::vector<float> scores_;
  std::vector<float> q_;
  Detection part_, defect_;
};

}  // namespace edge
