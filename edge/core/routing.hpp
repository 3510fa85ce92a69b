// Scores → answer. Thresholds come from a table over line speed; no allocation after construction.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "enums.hpp"

namespace edge {

// One row holds for line speeds up to its own; beyond the last row the last one holds.
struct RoutingRow {
  int64_t speed_um_per_s;
  float gate_good;        // surely good at or above this score of the good class
  float gate_defect;      // surely defective at or above this summed score of all defect classes
  float gate_empty;       // surely no part at or above this score of the empty class
  float classifier_good;  // the classifier passes at or above this score of the good class
};

struct Scores {
  float good = 0, defect = 0, empty = 0;
  uint8_t best_class = 0;         // of all classes
  uint8_t best_defect_class = 0;  // of the defect classes
  bool valid = false;             // finite, and each within [0, 1]

  static Scores from(const float* p, size_t classes, size_t good_class, size_t empty_class) {
    Scores s;
    s.valid = true;
    float best = -1, best_defect = -1;
    for (size_t i = 0; i < classes; ++i) {
      // Written so that NaN fails too.
      if (!(p[i] >= -1e-3F && p[i] <= 1.001F)) s.valid = false;
      if (p[i] > best) best = p[i], s.best_class = static_cast<uint8_t>(i);
      if (i == good_class) {
        s.good = p[i];
      } else if (i == empty_class) {
        s.empty = p[i];
      } else {
        s.defect += p[i];
        if (p[i] > best_defect) best_defect = p[i], s.best_defect_class = static_cast<uint8_t>(i);
      }
    }
    return s;
  }
};

enum class GateAnswer { GOOD, DEFECT, EMPTY, UNCERTAIN };

inline GateAnswer ask_gate(const Scores& s, const RoutingRow& row) {
  if (s.defect >= row.gate_defect) return GateAnswer::DEFECT;
  if (s.good >= row.gate_good) return GateAnswer::GOOD;
  if (s.empty >= row.gate_empty) return GateAnswer::EMPTY;
  return GateAnswer::UNCERTAIN;
}

class RoutingTable {
 public:
  explicit RoutingTable(std::vector<RoutingRow> rows) : rows_(std::move(rows)) {
    std::sort(rows_.begin(), rows_.end(),
              [](const RoutingRow& a, const RoutingRow& b) { return a.speed_um_per_s < b.speed_um_per_s; });
  }
  bool empty() const { return rows_.empty(); }
  const RoutingRow& at(int64_t speed_um_per_s) const {
    for (const RoutingRow& row : rows_) {
      if (speed_um_per_s <= row.speed_um_per_s) return row;
    }
    return rows_.back();
  }

 private:
  std::vector<RoutingRow> rows_;
};

}  // namespace edge
