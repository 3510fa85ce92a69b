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
#include "recipe.hpp"
#include "record_ring.hpp"
#include "region.hpp"
#include "routing.hpp"

namespace edge {

// How the frames of one part become one verdict.
enum class Fusion : int { ANY_REJECT = 0, MAJORITY = 1 };

// What is of the recipe is that of the first one, which runs until another is wanted.
struct LoopSettings : RecipeSettings {
  int64_t budget_cap_ns = 15 * kMillisecond;
  int64_t window_um = 18'000;              // budget = min(cap, window / speed)
  int64_t max_speed_um_per_s = 1'200'000;  // assumed when the speed is not known
  int64_t speed_stale_ns = kSecond / 2;
  int64_t frame_timeout_ns = 100 * kMillisecond;  // trigger → frame received
  int64_t change_pause_ns =
      50 * kMillisecond;  // between two changes of the recipe: longer than a trigger travels
  int64_t plc_write_assumed_ns = kMillisecond;  // until actuation has measured it
  bool ignore_deadlines = false;                // replay of a recording: judge, never against the clock
  double routing_hysteresis = 0.03;
  int64_t braking_um_per_s2 = 5'000'000;  // a belt that seems to slow down faster is not believed; 0: it is
  int frames_per_part = 1;
  Fusion fusion = Fusion::ANY_REJECT;
  // Enough for a p99.9 that one disturbed run does not decide; bounded in time for slow engines.
  int warmup_runs = 1100;
  int64_t warmup_limit_ns = 4 * kSecond;      // a killed loop is to be READY again within ten
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
  // One more that the status word recipe_wanted may name, or one that stands by for such a one, before the
  // start. Throws CoreError: its number is taken (none to stand by for), there are too many, or its settings
  // and engines do not fit.
  void add_recipe(RecipeSettings settings, Engine gate, std::unique_ptr<Engine> classifier);
  ~InspectionLoop() { stop(); }

  // `around` runs the thread's body, so that a host language can prepare the thread.
  void start(std::function<void(const std::function<void()>&)> around = nullptr);
  void stop();
  bool running() const { return running_.load(std::memory_order_acquire); }
  // shape_of the last frame that was fit to be judged; 0: none yet.
  uint64_t frame_shape() const { return frame_shape_.load(std::memory_order_acquire); }

 private:
  static constexpr size_t kPending = 64;
  struct Pending {
    Trigger trigger;
    bool open = false;
    Recipe* recipe = nullptr;  // under which its sensor saw it
    int frames = 0, rejects = 0, passes = 0;
    InspectionHalf said{};  // what its frames say together so far
  };

  void body();
  void resume_recipe();
  void warm_up();
  void warm_up(Recipe& recipe, int64_t limit_ns);
  bool warm_up(Engine& engine);
  void step();
  void change_recipe();
  bool roll_back(int64_t now);
  void activate(Recipe& next, int64_t now);
  Recipe* recipe_of(int64_t number);
  Recipe* find_recipe(size_t position, bool earlier);
  void note_recipe(const Recipe& recipe);
  void open_parts();
  void close_part_of(uint64_t frame_index);
  void expire_parts();
  void judge(const Pending& place, const FrameHeader& frame, const uint8_t* pixels);
  void begin(const Pending& place, const FrameHeader& frame);
  bool look(const FrameHeader& frame, const uint8_t* pixels);
  bool refuse(Reason reason);
  void note_light(const FrameStats& stats);
  void note_boxes();
  Reason unfit(const FrameHeader& frame) const;
  Reason badly_lit() const;
  void offer_ahead(const FrameHeader& frame, const uint8_t* pixels);
  Help prepare_classifier(const uint8_t* pixels, const Geometry& geometry);
  void ask_classifier(const FrameHeader& frame, const uint8_t* pixels, const RoutingRow& row);
  bool look_again(Scores& scores);
  bool classifier_fits();
  void doubt_tails(int64_t left_ns, int64_t now);
  void settle(Verdict verdict, Reason reason, Route route, uint8_t class_id, float confidence);
  void settle_defect(Route route, const Scores& scores);
  bool fuse(Pending& place);
  void announce_verdict(const Engine& engine);
  void learn_verdict_delay();
  bool run_engine(Engine& engine, int64_t& in_ns, int64_t& out_ns, Scores& scores);
  Seen see(Engine& engine, const FrameHeader& frame, const uint8_t* pixels, FrameStats& stats, int64_t& in_ns,
           int64_t& out_ns, Scores& scores);
  bool take_scores(Engine& engine, bool ran, int64_t took_ns, Scores& scores);
  void give_up(Pending& place);
  int64_t patience_ends_ns(const Pending& place) const;
  void commit();
  void keep_warm();
  bool fits_between_parts(int64_t takes_ns, int64_t now) const;
  void keep_others_warm(int64_t now);
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
  SpeedGuard speed_guard_;
  std::vector<std::unique_ptr<Recipe>> recipes_;
  Recipe* active_ = nullptr;  // of the parts to come
  Recipe* before_ = nullptr;  // of parts whose trigger is older than changed_ns_
  int64_t changed_ns_ = 0;
  Recipe* recipe_ = nullptr;      // of the part in work
  std::unique_ptr<Ahead> ahead_;  // of the classifiers; null: the loop prepares their input when it is asked
  TriggerRing::Reader triggers_;

  InspectionHalf part_{};  // the part in work
  Scores gate_scores_;     // what the gate said of it
  Pending pending_[kPending];
  size_t next_pending_ = 0;
  int64_t last_trigger_ns_ = 0, min_gap_ns_ = 0, others_ran_ns_ = 0;
  size_t next_other_ = 0;
  Anticipation frame_delay_;
  int64_t rehearsed_ns_ = 0;  // trigger of the part that was rehearsed for
  Geometry rehearsal_{};
  std::vector<uint8_t> rehearsal_pixels_;
  std::atomic<uint64_t> frame_shape_{0};

  std::atomic<bool> stop_{false}, running_{false};
  std::thread thread_;
};

}  // namespace edge
