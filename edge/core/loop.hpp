// The inspection loop: one native thread, bounded memory, no allocation after start, no wait without a bound.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ahead.hpp"
#include "anticipation.hpp"
#include "box_scores.hpp"
#include "histogram.hpp"
#include "preprocess.hpp"
#include "record_ring.hpp"
#include "region.hpp"
#include "routing.hpp"
#include "rules.hpp"
#include "second_view.hpp"

namespace edge {

// An engine as the loop sees it. `run` reads `input` and fills `scores`; false: it failed.
struct Engine {
  Preprocess preprocess;
  void* input = nullptr;
  const float* scores = nullptr;
  size_t classes = 0;
  std::function<bool()> run;
  SlidingQuantile latency_ns{2048, 0.999};
  Anticipation verdict_delay{};  // from its start to the verdict, where it has the last word
  int faults_in_a_row = 0;
  ScoreCalibration calibration{};
  std::shared_ptr<const BoxScores> boxes{};  // of the last run; null: the engine is no detector
};

// How the frames of one part become one verdict.
enum class Fusion : int { ANY_REJECT = 0, MAJORITY = 1 };

struct LoopSettings {
  int64_t budget_cap_ns = 15 * kMillisecond;
  int64_t window_um = 18'000;              // budget = min(cap, window / speed)
  int64_t max_speed_um_per_s = 1'200'000;  // assumed when the speed is not known
  int64_t speed_stale_ns = kSecond / 2;
  int64_t frame_timeout_ns = 100 * kMillisecond;  // trigger → frame received
  int64_t plc_write_assumed_ns = kMillisecond;    // until actuation has measured it
  bool ignore_deadlines = false;                  // replay of a recording: judge, never against the clock
  float min_mean = 8, max_mean = 247;             // grey levels
  float max_dark_share = 0.9F, max_bright_share = 0.6F;
  float min_sharpness = 0;       // of the gate's input; 0: not looked at
  int64_t max_frame_age_ns = 0;  // exposure → judged; 0: any
  ClassRoles classes;
  ScoreCalibration gate_scores, classifier_scores;
  std::vector<RoutingRow> routing;
  double routing_hysteresis = 0.03;
  int64_t braking_um_per_s2 = 5'000'000;  // a belt that seems to slow down faster is not believed; 0: it is
  SecondView second_view = SecondView::NONE;
  float brightness_wanted = 110;  // grey level that an EXPOSED second view is brought to
  std::vector<Rule> rules;
  std::vector<Zone> zones;
  float mm_per_pixel = 0;  // 0: unknown, defects have no size
  int frames_per_part = 1;
  Fusion fusion = Fusion::ANY_REJECT;
  // Enough for a p99.9 that one disturbed run does not decide; bounded in time for slow engines.
  int warmup_runs = 1100;
  int64_t warmup_limit_ns = 6 * kSecond;
  int64_t keep_warm_ns = 250 * kMillisecond;  // the classifier never rests longer; 0: off
  int engine_fault_limit = 5;                 // failures in a row that end READY
  bool anticipate =
      false;  // be awake when a frame is due, tell when a verdict is, prepare ahead; wants two processors
  int fifo_priority = 0;  // 0: leave the scheduler alone
  int cpu = -1;           // -1: any
};

class InspectionLoop {
 public:
  // Throws CoreError when settings and engines do not fit.
  InspectionLoop(std::shared_ptr<Region> region, std::shared_ptr<RecordRing> records, LoopSettings settings,
                 Engine gate, std::unique_ptr<Engine> classifier);
  ~InspectionLoop() { stop(); }

  // `around` runs the thread's body, so that a host language can prepare the thread.
  void start(std::function<void(const std::function<void()>&)> around = nullptr);
  void stop();
  bool running() const { return running_.load(std::memory_order_acquire); }

 private:
  static constexpr size_t kPending = 64;
  struct Pending {
    Trigger trigger;
    bool open = false;
    int frames = 0, rejects = 0, passes = 0;
    InspectionHalf said{};  // what its frames say together so far
  };

  void body();
  void warm_up();
  bool warm_up(Engine& engine);
  void step();
  void open_parts();
  void close_part_of(uint64_t frame_index);
  void expire_parts();
  void judge(const Trigger& trigger, const FrameHeader& frame, const uint8_t* pixels);
  void begin(const Trigger& trigger, const FrameHeader& frame);
  bool look(const FrameHeader& frame, const uint8_t* pixels);
  void note_boxes();
  Reason unfit(const FrameHeader& frame) const;
  Reason badly_lit() const;
  void offer_ahead(const FrameHeader& frame, const uint8_t* pixels);
  Help prepare_classifier(const uint8_t* pixels, const Geometry& geometry);
  void ask_classifier(const FrameHeader& frame, const uint8_t* pixels, const RoutingRow& row);
  bool look_again(Scores& scores);
  bool classifier_fits();
  void settle(Verdict verdict, Reason reason, Route route, uint8_t class_id, float confidence);
  void settle_defect(Route route, const Scores& scores);
  bool fuse(Pending& place);
  void announce_verdict(const Engine& engine);
  void learn_verdict_delay();
  bool run_engine(Engine& engine, int64_t& in_ns, int64_t& out_ns, Scores& scores);
  void give_up(Pending& place);
  int64_t patience_ends_ns(const Pending& place) const;
  void commit();
  void keep_warm();
  void rest(Doorbell& bell, uint32_t seen);
  void rehearse();
  void publish_state();
  int64_t next_event_ns() const;
  int64_t plc_write_ns(const std::atomic<int64_t>& measured_ns) const;
  int64_t believed_speed_um_per_s();
  int64_t budget_ns(int64_t speed) const;

  std::shared_ptr<Region> region_;
  std::shared_ptr<RecordRing> records_;
  LoopSettings settings_;
  RoutingTable routing_;
  SpeedGuard speed_guard_;
  RuleBook rules_;
  Engine gate_;
  std::unique_ptr<Engine> classifier_;
  std::unique_ptr<Ahead> ahead_;  // of the classifier; null: the loop prepares it when it is asked
  TriggerRing::Reader triggers_;

  InspectionHalf part_{};  // the part in work
  Scores gate_scores_;     // what the gate said of it
  Pending pending_[kPending];
  size_t next_pending_ = 0;
  int64_t last_trigger_ns_ = 0, min_gap_ns_ = 0, classifier_ran_ns_ = 0;
  Anticipation frame_delay_;
  int64_t rehearsed_ns_ = 0;  // trigger of the part that was rehearsed for
  Geometry rehearsal_{};
  std::vector<uint8_t> rehearsal_pixels_;

  std::atomic<bool> stop_{false}, running_{false};
  std::thread thread_;
};

}  // namespace edge
