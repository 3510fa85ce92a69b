#include <pybind11/native_enum.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <optional>

#include "clock.hpp"
#include "error.hpp"
#include "preprocess.hpp"
#include "routing.hpp"
#include "rules.hpp"
#include "second_view.hpp"

namespace py = pybind11;
using namespace edge;

namespace {

using ScoreArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Bytes = py::array_t<uint8_t>;

struct Routed {
  Verdict verdict = Verdict::REJECT;
  Reason reason = Reason::NO_TIME;
  Route route = Route::GATE;
  uint8_t class_id = 0, looks = 0;
};

// What the loop does with the scores of one part, when they are all known beforehand.
struct PartRouter {
  RoutingTable table;
  ClassRoles roles;
  ScoreCalibration gate, classifier;
  RuleBook rules;

  Routed route(const float* first, const float* second, const float* again, size_t classes, int64_t speed,
               uint8_t looks_in_time) {
    const RoutingRow* row = table.follow(speed);
    if (row == nullptr) return {Verdict::REJECT, Reason::SPEED, Route::NONE, 0, 0};
    const Scores g = Scores::from(first, classes, roles, gate);
    if (!g.valid) return {Verdict::REJECT, Reason::ENGINE, Route::GATE, g.best_class, 0};
    switch (ask_gate(g, *row)) {
      case GateAnswer::GOOD:
        return {Verdict::PASS, Reason::NONE, Route::GATE, static_cast<uint8_t>(roles.good), 0};
      case GateAnswer::DEFECT:
        return defect(g, Route::GATE, 0);
      case GateAnswer::EMPTY:
        return {Verdict::NO_PART, Reason::NONE, Route::GATE, static_cast<uint8_t>(roles.empty), 0};
      case GateAnswer::UNCERTAIN:
        break;
    }
    if (second == nullptr) return {Verdict::REJECT, Reason::UNCERTAIN, Route::GATE, g.best_class, 0};
    if (looks_in_time < 1) return {Verdict::REJECT, Reason::NO_TIME, Route::GATE, g.best_class, 0};
    Scores s = Scores::from(second, classes, roles, classifier);
    uint8_t looks = 1;
    if (s.valid && again != nullptr && doubtful(s, *row)) {
      if (looks_in_time < 2) return {Verdict::REJECT, Reason::NO_TIME, Route::CLASSIFIER, s.best_class, 1};
      const Scores more = Scores::from(again, classes, roles, classifier);
      s = more.valid ? Scores::mean(s, more) : more;
      looks = 2;
    }
    if (!s.valid) return {Verdict::REJECT, Reason::ENGINE, Route::CLASSIFIER, s.best_class, looks};
    switch (ask_classifier(s, *row)) {
      case ClassifierAnswer::GOOD:
        return {Verdict::PASS, Reason::NONE, Route::CLASSIFIER, static_cast<uint8_t>(roles.good), looks};
      case ClassifierAnswer::EMPTY:
        return {Verdict::NO_PART, Reason::NONE, Route::CLASSIFIER, static_cast<uint8_t>(roles.empty), looks};
      case ClassifierAnswer::DEFECT:
        return defect(s, Route::CLASSIFIER, looks);
      case ClassifierAnswer::UNCERTAIN:
        break;
    }
    return {Verdict::REJECT, Reason::UNCERTAIN, Route::CLASSIFIER, s.best_defect_class, looks};
  }

  Routed defect(const Scores& s, Route way, uint8_t looks) const {
    const RuleDecision decision = rules.decide({s.best_defect_class, s.defect, -1, -1, -1});
    const bool pass = decision.action == Action::PASS;
    return {pass ? Verdict::PASS : Verdict::REJECT, pass ? Reason::NONE : Reason::DEFECT, way,
            s.best_defect_class, looks};
  }
};

void check_scores(const char* what, const ScoreArray& scores, py::ssize_t parts, py::ssize_t classes) {
  if (scores.ndim() != 2 || scores.shape(0) != parts || scores.shape(1) != classes) {
    throw CoreError(std::string(what) + ": expected " + std::to_string(parts) + " x " +
                    std::to_string(classes) + " scores");
  }
}

// Routes many parts of known scores; also how long each decision took.
py::dict route_parts(PartRouter& router, const ScoreArray& gate, const std::optional<ScoreArray>& classifier,
                     const std::optional<ScoreArray>& again, const py::array_t<int64_t>& speeds,
                     const py::array_t<uint8_t>& looks_in_time) {
  if (gate.ndim() != 2) throw CoreError("gate: expected parts x classes scores");
  const py::ssize_t parts = gate.shape(0), classes = gate.shape(1);
  if (router.roles.good >= static_cast<size_t>(classes) ||
      router.roles.empty >= static_cast<size_t>(classes)) {
    throw CoreError("the gate has no score for the good or the empty class");
  }
  if (classifier) check_scores("classifier", *classifier, parts, classes);
  if (again) check_scores("again", *again, parts, classes);
  if (speeds.size() != parts || looks_in_time.size() != parts)
    throw CoreError("expected a speed and the looks in time for every part");
  Bytes verdict(parts), reason(parts), route(parts), class_id(parts), looks(parts);
  py::array_t<int64_t> took_ns(parts);
  for (py::ssize_t i = 0; i < parts; ++i) {
    const int64_t start_ns = now_ns();
    const Routed routed = router.route(gate.data(i, 0), classifier ? classifier->data(i, 0) : nullptr,
                                       again ? again->data(i, 0) : nullptr, static_cast<size_t>(classes),
                                       speeds.at(i), looks_in_time.at(i));
    took_ns.mutable_at(i) = now_ns() - start_ns;
    verdict.mutable_at(i) = static_cast<uint8_t>(routed.verdict);
    reason.mutable_at(i) = static_cast<uint8_t>(routed.reason);
    route.mutable_at(i) = static_cast<uint8_t>(routed.route);
    class_id.mutable_at(i) = routed.class_id;
    looks.mutable_at(i) = routed.looks;
  }
  py::dict out;
  out["verdict"] = verdict;
  out["reason"] = reason;
  out["route"] = route;
  out["class_id"] = class_id;
  out["looks"] = looks;
  out["took_ns"] = took_ns;
  return out;
}

void bind_tables(py::module_& m) {
  py::class_<ScoreMap>(m, "ScoreMap")
      .def(py::init([](float gain, float bias) {
             if (!(gain > 0) || !std::isfinite(gain) || !std::isfinite(bias)) {
               throw CoreError("a score map needs a gain above 0 and a finite bias");
             }
             return ScoreMap{gain, bias};
           }),
           py::kw_only(), py::arg("gain") = 1.0F, py::arg("bias") = 0.0F)
      .def("__call__", [](const ScoreMap& map, float p) { return map(p); });
  py::class_<ScoreCalibration>(m, "ScoreCalibration")
      .def(py::init([](const ScoreMap& good, const ScoreMap& defect, const ScoreMap& empty) {
             return ScoreCalibration{good, defect, empty};
           }),
           py::kw_only(), py::arg("good") = ScoreMap{}, py::arg("defect") = ScoreMap{},
           py::arg("empty") = ScoreMap{});
  py::class_<ClassRoles>(m, "ClassRoles")
      .def(py::init([](size_t good, size_t empty, std::vector<float> limits) {
             return ClassRoles{good, empty, std::move(limits)};
           }),
           py::kw_only(), py::arg("good"), py::arg("empty"), py::arg("limits") = std::vector<float>{});
  py::class_<RoutingRow>(m, "RoutingRow")
      .def(py::init([](int64_t speed, float good, float defect, float empty, float classifier_good,
                       float retest_good) {
             return RoutingRow{speed, good, defect, empty, classifier_good, retest_good};
           }),
           py::kw_only(), py::arg("speed_um_per_s"), py::arg("gate_good"), py::arg("gate_defect"),
           py::arg("gate_empty"), py::arg("classifier_good"), py::arg("retest_good") = 2.0F);
}

void bind_rules(py::module_& m) {
  py::native_enum<Action>(m, "Action", "enum.IntEnum")
      .value("NONE", Action::NONE)
      .value("PASS", Action::PASS)
      .value("REJECT", Action::REJECT)
      .value("REWORK", Action::REWORK)
      .value("HOLD_LINE", Action::HOLD_LINE)
      .finalize();
  py::class_<Zone>(m, "Zone").def(
      py::init([](float x1, float y1, float x2, float y2) { return Zone{x1, y1, x2, y2}; }), py::arg("x1"),
      py::arg("y1"), py::arg("x2"), py::arg("y2"));
  py::class_<Rule>(m, "Rule").def(
      py::init(
          [](int class_id, int zone, float min_score, float min_size_mm, float max_size_mm, Action action,
             uint8_t bin) { return Rule{class_id, zone, min_score, min_size_mm, max_size_mm, action, bin}; }),
      py::kw_only(), py::arg("class_id") = -1, py::arg("zone") = -1, py::arg("min_score") = 0.0F,
      py::arg("min_size_mm") = 0.0F, py::arg("max_size_mm") = 1e9F, py::arg("action") = Action::REJECT,
      py::arg("bin") = 0);
  py::class_<RuleBook>(m, "RuleBook")
      .def(py::init<std::vector<Rule>, std::vector<Zone>>(), py::arg("rules") = std::vector<Rule>{},
           py::arg("zones") = std::vector<Zone>{})
      .def(
          "decide",
          [](const RuleBook& book, uint8_t class_id, float score, float size_mm, float x, float y) {
            const RuleDecision d = book.decide({class_id, score, size_mm, x, y});
            return py::make_tuple(d.action, d.bin, d.rule);
          },
          py::kw_only(), py::arg("class_id"), py::arg("score"), py::arg("size_mm") = -1.0F,
          py::arg("x") = -1.0F, py::arg("y") = -1.0F);
}

void bind_views(py::module_& m) {
  py::native_enum<SecondView>(m, "SecondView", "enum.IntEnum")
      .value("NONE", SecondView::NONE)
      .value("MIRRORED", SecondView::MIRRORED)
      .value("EXPOSED", SecondView::EXPOSED)
      .finalize();
  const auto checked = [](const Preprocess& preprocess, py::array& input) {
    if (static_cast<size_t>(input.nbytes()) != preprocess.output_bytes() || !input.writeable() ||
        (input.flags() & py::array::c_style) == 0) {
      throw CoreError("input: not the buffer that this preprocess fills");
    }
    return input.mutable_data();
  };
  m.def(
      "make_second_view",
      [checked](SecondView view, const Preprocess& preprocess, py::array input, float mean, float wanted) {
        return make_second_view(view, preprocess.settings(), checked(preprocess, input), mean, wanted);
      },
      py::arg("view"), py::arg("preprocess"), py::arg("input"), py::kw_only(), py::arg("brightness_mean"),
      py::arg("brightness_wanted"));
  m.def(
      "sharpness",
      [checked](const Preprocess& preprocess, py::array input) {
        return sharpness(preprocess.settings(), checked(preprocess, input));
      },
      py::arg("preprocess"), py::arg("input"));
}

}  // namespace

void bind_routing(py::module_& m) {
  bind_tables(m);
  bind_rules(m);
  bind_views(m);
  py::class_<PartRouter>(m, "PartRouter")
      .def(py::init([](std::vector<RoutingRow> rows, double hysteresis, ClassRoles roles,
                       const ScoreCalibration& gate, const ScoreCalibration& classifier, RuleBook rules) {
             return PartRouter{RoutingTable(std::move(rows), hysteresis), std::move(roles), gate, classifier,
                               std::move(rules)};
           }),
           py::kw_only(), py::arg("rows"), py::arg("hysteresis") = 0.0, py::arg("roles"),
           py::arg("gate") = ScoreCalibration{}, py::arg("classifier") = ScoreCalibration{},
           py::arg("rules") = RuleBook{})
      .def("route", &route_parts, py::arg("gate"), py::arg("classifier"), py::arg("again"), py::kw_only(),
           py::arg("speeds_um_per_s"), py::arg("looks_in_time"));
}
