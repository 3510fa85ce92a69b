// Scores → answer: calibration of scores, thresholds from a table over line speed, and what gate and
// classifier say under one row of it. Pure functions and fixed tables: nothing allocates after construction.
// The loop and the evaluation of routing tables (bind_routing.cpp) call the same code.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "enums.hpp"
#include "error.hpp"

namespace edge {

// Platt scaling: log-odds' = gain * log-odds + bias; gain = 1 / temperature. Strictly rising for gain > 0, so
// that thresholds keep the order of parts, also in the tail that makes escapes.
struct ScoreMap {
  float gain = 1, bias = 0;

  float operator()(float p) const {
    if (gain == 1 && bias == 0) return p;
    constexpr float kLeast = 1e-6F;
    const float q = std::min(std::max(p, kLeast), 1 - kLeast);
    return 1 / (1 + std::exp(-(gain * std::log(q / (1 - q)) + bias)));
  }
};

// How the three sums of one engine become probabilities.
struct ScoreCalibration {
  ScoreMap good, defect, empty;
};

// Which class is which, and from which score on a class forbids a pass (by class; 2: never).
struct ClassRoles {
  size_t good = 1, empty = 0;
  std::vector<float> limits;
};

// One row holds for line speeds up to its own.
struct RoutingRow {
  int64_t speed_um_per_s;
  float gate_good;        // surely good at or above this score of the good class
  float gate_defect;      // surely defective at or above this summed score of all defect classes
  float gate_empty;       // surely no part at or above this score of the empty class
  float classifier_good;  // the classifier passes at or above this score of the good class
  float retest_good = 2;  // from this score on it takes a second look, and the mean decides; 2: one is enough
};

struct Scores {
  float good = 0, defect = 0, empty = 0;  // calibrated
  float raw_good = 0, raw_defect = 0, raw_empty = 0;
  uint8_t best_class = 0;         // of all classes
  uint8_t best_defect_class = 0;  // of the defect classes
  bool limited = false;           // a defect class has reached its own limit
  bool valid = false;             // finite, and each within [0, 1]

  static Scores from(const float* p, size_t classes, const ClassRoles& roles,
                     const ScoreCalibration& calibration) {
    Scores s;
    s.valid = true;
    float best = -1, best_defect = -1;
    for (size_t i = 0; i < classes; ++i) {
      // Written so that NaN fails too.
      if (!(p[i] >= -1e-3F && p[i] <= 1.001F)) s.valid = false;
      if (p[i] > best) best = p[i], s.best_class = static_cast<uint8_t>(i);
      if (i == roles.good) {
        s.raw_good = p[i];
      } else if (i == roles.empty) {
        s.raw_empty = p[i];
      } else {
        s.raw_defect += p[i];
        if (i < roles.limits.size() && p[i] >= roles.limits[i]) s.limited = true;
        if (p[i] > best_defect) best_defect = p[i], s.best_defect_class = static_cast<uint8_t>(i);
      }
    }
    // A detector's classes do not share one unit of probability.
    s.raw_defect = std::min(s.raw_defect, 1.0F);
    if (!s.valid) return s;
    s.good = calibration.good(s.raw_good);
    s.defect = calibration.defect(s.raw_defect);
    s.empty = calibration.empty(s.raw_empty);
    return s;
  }

  // What two looks at one part say together.
  static Scores mean(const Scores& a, const Scores& b) {
    Scores s = a.defect >= b.defect ? a : b;  // the class of the look that saw more
    s.good = (a.good + b.good) / 2, s.defect = (a.defect + b.defect) / 2, s.empty = (a.empty + b.empty) / 2;
    s.limited = a.limited || b.limited;
    return s;
  }
};

enum class GateAnswer { GOOD, DEFECT, EMPTY, UNCERTAIN };

inline GateAnswer ask_gate(const Scores& s, const RoutingRow& row) {
  if (s.defect >= row.gate_defect) return GateAnswer::DEFECT;
  if (s.good >= row.gate_good) return s.limited ? GateAnswer::UNCERTAIN : GateAnswer::GOOD;
  if (s.empty >= row.gate_empty) return GateAnswer::EMPTY;
  return GateAnswer::UNCERTAIN;
}

enum class ClassifierAnswer { GOOD, DEFECT, EMPTY, UNCERTAIN };

inline ClassifierAnswer ask_classifier(const Scores& s, const RoutingRow& row) {
  if (s.limited) return ClassifierAnswer::DEFECT;
  if (s.good >= row.classifier_good) return ClassifierAnswer::GOOD;
  if (s.empty >= row.gate_empty) return ClassifierAnswer::EMPTY;
  return s.best_class == s.best_defect_class && s.defect > 0.5F ? ClassifierAnswer::DEFECT
                                                                : ClassifierAnswer::UNCERTAIN;
}

// Good enough for a pass perhaps, but not on one look alone.
inline bool doubtful(const Scores& s, const RoutingRow& row) {
  return !s.limited && s.good >= row.retest_good;
}

class RoutingTable {
 public:
  // Throws CoreError for a table without rows, or thresholds that are no numbers. `hysteresis` is the share
  // by which the belt must be slower than the limit of a slower row before that row is taken.
  explicit RoutingTable(std::vector<RoutingRow> rows, double hysteresis = 0)
      : rows_(std::move(rows)), hysteresis_(hysteresis) {
    if (rows_.empty()) throw CoreError("the routing table is empty: give at least one row of thresholds");
    std::sort(rows_.begin(), rows_.end(),
              [](const RoutingRow& a, const RoutingRow& b) { return a.speed_um_per_s < b.speed_um_per_s; });
    for (const RoutingRow& row : rows_) {
      for (const float limit :
           {row.gate_good, row.gate_defect, row.gate_empty, row.classifier_good, row.retest_good}) {
        if (!std::isfinite(limit)) throw CoreError("the routing table holds a threshold that is no number");
      }
    }
  }

  // nullptr: the table does not reach so far. Backwards counts like forwards.
  const RoutingRow* at(int64_t speed_um_per_s) const {
    const size_t i = index_of(std::llabs(speed_um_per_s));
    return i < rows_.size() ? &rows_[i] : nullptr;
  }

  // The same for a live speed: a faster row at once, a slower one only when the belt is clearly slower.
  const RoutingRow* follow(int64_t speed_um_per_s) {
    const int64_t speed = std::llabs(speed_um_per_s);
    const size_t exact = index_of(speed);
    if (exact >= rows_.size()) return nullptr;
    if (exact > current_) current_ = exact;
    while (current_ > exact &&
           static_cast<double>(speed) <=
               static_cast<double>(rows_[current_ - 1].speed_um_per_s) * (1 - hysteresis_)) {
      current_--;
    }
    return &rows_[current_];
  }

  size_t size() const { return rows_.size(); }

 private:
  size_t index_of(int64_t speed) const {
    size_t i = 0;
    while (i < rows_.size() && speed > rows_[i].speed_um_per_s) ++i;
    return i;
  }

  std::vector<RoutingRow> rows_;
  double hysteresis_;
  size_t current_ = 0;
};

// A belt has mass: it may be believed to be faster at once, but slower only as fast as it can brake. A
// reading that drops is otherwise a longer budget than the belt gives.
class SpeedGuard {
 public:
  explicit SpeedGuard(int64_t braking_um_per_s2) : braking_(braking_um_per_s2) {}

  int64_t believe(int64_t reading_um_per_s, int64_t now_ns) {
    const int64_t reading = std::llabs(reading_um_per_s);
    if (stamp_ns_ != 0 && braking_ > 0) {
      const int64_t passed_ns = std::min<int64_t>(now_ns - stamp_ns_, 10'000'000'000);
      speed_ = std::max(reading, speed_ - braking_ * (passed_ns / 1000) / 1'000'000);
    } else {
      speed_ = reading;
    }
    stamp_ns_ = now_ns;
    return speed_;
  }

 private:
  int64_t braking_, speed_ = 0, stamp_ns_ = 0;
};

}  // namespace edge
