#include "detector.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "error.hpp"

namespace edge {
namespace {

constexpr size_t kMostLocations = 1U << 20U;
constexpr float kSlack = 1e-3F;  // what rounding may put a score outside [0, 1]

void require(bool condition, const std::string& found, const char* expected) {
  if (!condition) throw CoreError("detector: " + found + "; expected " + expected);
}

void check(const DetectorSettings& s) {
  require(s.input_width > 0 && s.input_height > 0,
          "an input of " + std::to_string(s.input_width) + "x" + std::to_string(s.input_height),
          "the size of the engine's input");
  require(s.classes > 0 && s.classes <= 1000, std::to_string(s.classes) + " classes", "1 to 1000");
  require(!s.strides.empty(), "no strides", "such as 8, 16, 32");
  for (const int stride : s.strides) {
    require(stride > 0 && stride <= 1024, "a stride of " + std::to_string(stride), "1 to 1024");
  }
  require(s.reg_max > 0 && s.reg_max <= 64, "reg_max " + std::to_string(s.reg_max), "1 to 64");
  require(s.anchors_per_cell > 0 && s.anchors_per_cell <= 16,
          std::to_string(s.anchors_per_cell) + " anchors per cell", "1 to 16");
  require(s.min_score > 0 && s.min_score < 1, "min_score " + std::to_string(s.min_score), "between 0 and 1");
  require(s.nms_iou > 0 && s.nms_iou <= 1, "nms_iou " + std::to_string(s.nms_iou), "above 0, at most 1");
  require(s.max_candidates > 0 && s.max_detections > 0, "no room for boxes", "at least 1 of each");
}

// Mean of the distribution softmax(logits) over 0 … bins - 1.
float expectation(const float* logits, int bins) {
  const float top = *std::max_element(logits, logits + bins);
  float sum = 0, weighted = 0;
  for (int i = 0; i < bins; ++i) {
    const float share = std::exp(logits[i] - top);
    sum += share;
    weighted += share * static_cast<float>(i);
  }
  return weighted / sum;
}

}  // namespace

float box_iou(const Detection& a, const Detection& b) {
  const float width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  if (width <= 0 || height <= 0) return 0;
  const float common = width * height;
  return common / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - common);
}

Detector::Detector(DetectorSettings settings) : settings_(std::move(settings)) {
  check(settings_);
  const bool anchors = settings_.kind == DetectorKind::YOLOV5;
  outputs_ = settings_.kind == DetectorKind::NANODET_PLUS
                 ? settings_.classes + 4 * static_cast<size_t>(settings_.reg_max + 1)
                 : 5 + settings_.classes;
  for (const int stride : settings_.strides) {
    const int rows = (settings_.input_height + stride - 1) / stride;
    const int columns = (settings_.input_width + stride - 1) / stride;
    const int times = anchors ? settings_.anchors_per_cell : 1;
    require(static_cast<size_t>(rows) * static_cast<size_t>(columns) * static_cast<size_t>(times) <=
                kMostLocations - places_.size(),
            "an input that large", "at most a million locations");
    for (int time = 0; time < times; ++time) {
      for (int row = 0; row < rows; ++row) {
        for (int column = 0; column < columns; ++column) {
          places_.push_back({static_cast<float>(column * stride), static_cast<float>(row * stride),
                             static_cast<float>(stride)});
        }
      }
    }
  }
  scores_.resize(settings_.classes);
  best_scores_.resize(settings_.classes);
  best_candidate_.resize(settings_.classes);
  best_.resize(settings_.classes);
  candidates_.reserve(settings_.max_candidates);
  kept_.reserve(settings_.max_detections);
}

bool Detector::decode(const float* raw) {
  candidates_.clear();
  kept_.clear();
  std::fill(best_.begin(), best_.end(), Detection{});
  if (!sound(raw)) return false;
  std::fill(best_scores_.begin(), best_scores_.end(), -1.0F);
  for (uint32_t i = 0; i < places_.size(); ++i) {
    const RowNews news = scores_of(raw + i * outputs_);
    if (!news.fine) {
      candidates_.clear();
      return false;
    }
    if (news.any) look_at(i);
  }
  for (const Candidate& c : best_candidate_) {
    best_[static_cast<size_t>(c.class_id)] =
        box_of(raw + c.location * outputs_, places_[c.location], c.score, c.class_id);
  }
  suppress(raw);
  return true;
}

// Infinities and NaN have all bits of the exponent set; integers, since this loop vectorises.
bool Detector::sound(const float* raw) const {
  constexpr uint32_t kExponent = 0x7F800000U;
  const size_t count = locations() * outputs_;
  uint32_t bad = 0;
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, raw + i, sizeof bits);
    bad |= static_cast<uint32_t>((bits & kExponent) == kExponent);
  }
  return bad == 0;
}

// Nearly every location of nearly every frame shows nothing: this loop has no branches, so that it
// vectorises, and says whether a closer look is worth it.
Detector::RowNews Detector::scores_of(const float* row) {
  const bool objectness = settings_.kind != DetectorKind::NANODET_PLUS;
  const float* given = objectness ? row + 5 : row;
  const float object = objectness ? row[4] : 1.0F;
  const float least = settings_.min_score;
  const size_t classes = settings_.classes;
  const float* best = best_scores_.data();
  float* score = scores_.data();
  int bad = !(object >= -kSlack && object <= 1 + kSlack), any = 0;
  for (size_t c = 0; c < classes; ++c) {
    bad |= (given[c] < -kSlack) | (given[c] > 1 + kSlack);
    const float s = std::min(1.0F, std::max(0.0F, object * given[c]));
    any |= (s > best[c]) | (s >= least);
    score[c] = s;
  }
  return {bad == 0, any != 0};
}

void Detector::look_at(uint32_t location) {
  for (size_t c = 0; c < settings_.classes; ++c) {
    const Candidate candidate{scores_[c], location, static_cast<int32_t>(c)};
    if (candidate.score > best_scores_[c]) best_scores_[c] = candidate.score, best_candidate_[c] = candidate;
    if (candidate.score >= settings_.min_score) offer(candidate);
  }
}

bool Detector::better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.location != b.location ? a.location < b.location : a.class_id < b.class_id;
}

// Keeps the best ones: the heap's front is the worst that was kept.
void Detector::offer(const Candidate& candidate) {
  if (candidates_.size() < settings_.max_candidates) {
    candidates_.push_back(candidate);
    std::push_heap(candidates_.begin(), candidates_.end(), better);
  } else if (better(candidate, candidates_.front())) {
    std::pop_heap(candidates_.begin(), candidates_.end(), better);
    candidates_.back() = candidate;
    std::push_heap(candidates_.begin(), candidates_.end(), better);
  }
}

void Detector::suppress(const float* raw) {
  std::sort_heap(candidates_.begin(), candidates_.end(), better);
  for (const Candidate& c : candidates_) {
    if (kept_.size() == settings_.max_detections) return;
    const Detection found = box_of(raw + c.location * outputs_, places_[c.location], c.score, c.class_id);
    const bool covered = std::any_of(kept_.begin(), kept_.end(), [&](const Detection& other) {
      return other.class_id == found.class_id && box_iou(other, found) > settings_.nms_iou;
    });
    if (!covered) kept_.push_back(found);
  }
}

Detection Detector::box_of(const float* row, const Place& place, float score, int32_t class_id) const {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  if (settings_.kind == DetectorKind::NANODET_PLUS) {
    const int bins = settings_.reg_max + 1;
    const float* sides = row + settings_.classes;
    x1 = place.x - expectation(sides, bins) * place.stride;
    y1 = place.y - expectation(sides + bins, bins) * place.stride;
    x2 = place.x + expectation(sides + 2 * bins, bins) * place.stride;
    y2 = place.y + expectation(sides + 3 * bins, bins) * place.stride;
  } else {
    const bool cells = settings_.kind == DetectorKind::YOLOX;
    const float x = cells ? row[0] * place.stride + place.x : row[0];
    const float y = cells ? row[1] * place.stride + place.y : row[1];
    const float width = cells ? std::exp(row[2]) * place.stride : row[2];
    const float height = cells ? std::exp(row[3]) * place.stride : row[3];
    x1 = x - width / 2, y1 = y - height / 2, x2 = x + width / 2, y2 = y + height / 2;
  }
  const auto right = static_cast<float>(settings_.input_width);
  const auto bottom = static_cast<float>(settings_.input_height);
  const auto within = [](float v, float most) { return std::min(std::max(v, 0.0F), most); };
  return {within(x1, right), within(y1, bottom), within(x2, right), within(y2, bottom), score, class_id};
}

}  // namespace edge
