#include "box_scores.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "error.hpp"

namespace edge {
namespace {

constexpr float kEdge = 1e-6F;  // a score nearer to 0 or 1 counts as this near: its logit stays finite

}  // namespace

BoxScores::BoxScores(Detector detector, BoxScoresSettings settings)
    : detector_(std::move(detector)), settings_(std::move(settings)) {
  const auto boxes = static_cast<int32_t>(detector_.settings().classes);
  const auto scores = static_cast<int32_t>(settings_.scores);
  if (settings_.classes.size() != detector_.settings().classes) {
    throw CoreError("box scores: the detector has " + std::to_string(boxes) + " classes of boxes, " +
                    std::to_string(settings_.classes.size()) + " are explained; expected one entry for each");
  }
  if (settings_.good >= settings_.scores || settings_.empty >= settings_.scores ||
      settings_.good == settings_.empty || settings_.part_class >= boxes) {
    throw CoreError("box scores: good, empty or part class is none of the classes");
  }
  for (size_t c = 0; c < settings_.classes.size(); ++c) {
    const BoxClass& one = settings_.classes[c];
    const bool to_defect = one.score_class != static_cast<int32_t>(settings_.good) &&
                           one.score_class != static_cast<int32_t>(settings_.empty);
    if (one.score_class >= scores || (static_cast<int32_t>(c) != settings_.part_class && !to_defect)) {
      throw CoreError("box scores: class of boxes " + std::to_string(c) + " counts as score " +
                      std::to_string(one.score_class) + "; expected the index of a defect, or -1");
    }
    if (!(one.gain > 0) || !std::isfinite(one.gain) || !std::isfinite(one.bias)) {
      throw CoreError("box scores: gain and bias must be finite, the gain above 0");
    }
  }
  scores_.assign(settings_.scores, std::numeric_limits<float>::quiet_NaN());
  q_.resize(settings_.classes.size());
}

bool BoxScores::decode(const float* raw) {
  part_ = defect_ = Detection{};
  if (!detector_.decode(raw)) {
    std::fill(scores_.begin(), scores_.end(), std::numeric_limits<float>::quiet_NaN());
    return false;
  }
  std::fill(scores_.begin(), scores_.end(), 0.0F);
  float clean = 1, sum = 0, worst = -1;
  for (size_t c = 0; c < q_.size(); ++c) {
    q_[c] = evidence(c);
    if (!is_defect(c)) continue;
    clean *= 1 - q_[c];
    sum += q_[c];
    if (q_[c] > worst) {
      worst = q_[c];
      defect_ = detector_.best(c);
      defect_.class_id = settings_.classes[c].score_class;
    }
  }
  float there = 1;
  if (settings_.part_class >= 0) {
    there = q_[static_cast<size_t>(settings_.part_class)];
    part_ = detector_.best(static_cast<size_t>(settings_.part_class));
  }
  for (size_t c = 0; c < q_.size(); ++c) {
    if (is_defect(c) && sum > 0) {
      scores_[static_cast<size_t>(settings_.classes[c].score_class)] += (1 - clean) * q_[c] / sum;
    }
  }
  scores_[settings_.good] = there * clean;
  scores_[settings_.empty] = (1 - there) * clean;
  return true;
}

float BoxScores::evidence(size_t box_class) const {
  const BoxClass& one = settings_.classes[box_class];
  const float score = std::min(1 - kEdge, std::max(kEdge, detector_.best(box_class).score));
  const float logit = std::log(score) - std::log1p(-score);
  return 1 / (1 + std::exp(-(one.gain * logit + one.bias)));
}

bool BoxScores::is_defect(size_t box_class) const {
  return static_cast<int32_t>(box_class) != settings_.part_class &&
         settings_.classes[box_class].score_class >= 0;
}

}  // namespace edge
