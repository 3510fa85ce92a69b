// Decision rules: what becomes of a part in which a defect was found. A fixed list, the first match decides.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "enums.hpp"

namespace edge {

// A rectangle in shares (0..1) of the part's box, or of the picture where no box is known.
struct Zone {
  float x1 = 0, y1 = 0, x2 = 1, y2 = 1;
  bool holds(float x, float y) const { return x >= x1 && x <= x2 && y >= y1 && y <= y2; }
};

// What is known of the worst defect; negative: unknown.
struct Finding {
  uint8_t class_id = 0;
  float score = 0;
  float size_mm = -1;    // longer side of its box
  float x = -1, y = -1;  // its centre, in the units of Zone
};

struct Rule {
  int class_id = -1;  // -1: any
  int zone = -1;      // index; -1: anywhere
  float min_score = 0;
  float min_size_mm = 0;
  float max_size_mm = 1e9F;
  Action action = Action::REJECT;
  uint8_t bin = 0;
};

struct RuleDecision {
  Action action = Action::REJECT;
  uint8_t bin = 0;
  uint8_t rule = 0;  // number of the rule, from 1; 0: none matched, the part is rejected
};

class RuleBook {
 public:
  RuleBook() = default;
  RuleBook(std::vector<Rule> rules, std::vector<Zone> zones)
      : rules_(std::move(rules)), zones_(std::move(zones)) {}

  // What is unknown never helps a part through: it fits a rule that rejects, and does not fit one that
  // passes.
  RuleDecision decide(const Finding& found) const {
    for (size_t i = 0; i < rules_.size(); ++i) {
      const Rule& rule = rules_[i];
      if (rule.class_id >= 0 && rule.class_id != found.class_id) continue;
      if (found.score < rule.min_score) continue;
      if (!fits(rule, found)) continue;
      return {rule.action, rule.bin, static_cast<uint8_t>(i + 1)};
    }
    return {};
  }

 private:
  bool fits(const Rule& rule, const Finding& found) const {
    const bool if_unknown = rule.action != Action::PASS;
    const bool asks_size = rule.min_size_mm > 0 || rule.max_size_mm < 1e9F;
    if (asks_size && found.size_mm < 0 && !if_unknown) return false;
    if (asks_size && found.size_mm >= 0 &&
        (found.size_mm < rule.min_size_mm || found.size_mm > rule.max_size_mm)) {
      return false;
    }
    if (rule.zone < 0) return true;
    if (found.x < 0) return if_unknown;
    return zones_[static_cast<size_t>(rule.zone)].holds(found.x, found.y);
  }

  std::vector<Rule> rules_;
  std::vector<Zone> zones_;
};

}  // namespace edge
