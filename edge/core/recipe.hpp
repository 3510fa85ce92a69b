// A recipe as the loop has it: a pair of engines and everything that decides with them. Switched as one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "anticipation.hpp"
#include "box_scores.hpp"
#include "error.hpp"
#include "histogram.hpp"
#include "preprocess.hpp"
#include "routing.hpp"
#include "rules.hpp"
#include "second_view.hpp"
#include "tail_doubt.hpp"

namespace edge {

// An engine as the loop sees it. `run` reads `input` and fills `scores`; false: it failed.
struct Engine {
  Preprocess preprocess;
  void* input = nullptr;
  const float* scores = nullptr;
  size_t classes = 0;
  std::function<bool()> run;
  SlidingQuantile latency_ns{kLatencyRuns, kLatencyQuantile};
  Anticipation verdict_delay{};  // from its start to the verdict, where it has the last word
  int faults_in_a_row = 0;
  ScoreCalibration calibration{};
  std::shared_ptr<const BoxScores> boxes{};  // of the last run; null: the engine is no detector
  // On a GPU: preprocesses a frame in its slot, runs, fills `scores`. Null: the input is prepared by
  // `preprocess`.
  std::function<Seen(const uint8_t* pixels, const Geometry& geometry, FrameStats& stats)> see{};
};

// What belongs to the product rather than to the machine.
struct RecipeSettings {
  uint16_t number = 0;                 // by which the PLC knows it
  bool earlier = false;                // stands by for the one of this number, should that be taken back
  float min_mean = 8, max_mean = 247;  // grey levels
  float max_dark_share = 0.9F, max_bright_share = 0.6F;
  float min_sharpness = 0;       // of the gate's input; 0: not looked at
  int64_t max_frame_age_ns = 0;  // exposure → judged; 0: any
  ClassRoles classes;
  ScoreCalibration gate_scores, classifier_scores;
  std::vector<RoutingRow> routing;
  SecondView second_view = SecondView::NONE;
  float brightness_wanted = 110;  // grey level that an EXPOSED second view is brought to
  std::vector<Rule> rules;
  std::vector<Zone> zones;
  float mm_per_pixel = 0;  // 0: unknown, defects have no size
};

struct Recipe {
  // Throws CoreError when settings and engines do not fit.
  Recipe(RecipeSettings s, double hysteresis, Engine first, std::unique_ptr<Engine> second)
      : settings(std::move(s)),
        routing(settings.routing, hysteresis),
        rules(settings.rules, settings.zones),
        gate(std::move(first)),
        classifier(std::move(second)) {
    if (settings.classes.good >= gate.classes || settings.classes.empty >= gate.classes) {
      throw CoreError("the gate has no output for the good or the empty class");
    }
    if (classifier && classifier->classes != gate.classes) {
      throw CoreError("gate and classifier differ in their number of classes");
    }
    for (const Rule& rule : settings.rules) {
      if (rule.class_id >= static_cast<int>(gate.classes) ||
          rule.zone >= static_cast<int>(settings.zones.size())) {
        throw CoreError("a decision rule names a class or a zone that there is not");
      }
    }
    gate.calibration = settings.gate_scores;
    if (classifier) classifier->calibration = settings.classifier_scores;
  }

  bool failing(int fault_limit) const {
    return gate.faults_in_a_row >= fault_limit || (classifier && classifier->faults_in_a_row >= fault_limit);
  }

  RecipeSettings settings;
  size_t position =
      0;  // its bit in the status words of the rollback; an earlier one has that of its successor
  RoutingTable routing;
  RuleBook rules;
  Engine gate;
  std::unique_ptr<Engine> classifier;  // null: uncertain parts are rejected
  int64_t classifier_ran_ns = 0;
  TailDoubt classifier_doubt;
};

}  // namespace edge
