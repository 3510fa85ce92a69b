#include "loop.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "clock.hpp"
#include "error.hpp"

namespace edge {
namespace {

constexpr int64_t kBeat =
    20 * kMillisecond;               // the loop never sleeps longer, so its beat is its real progress
constexpr int64_t kWarmUpRest = 12;  // of its time; the kernel takes 1 in 20
constexpr int64_t kDoubtHurry = 8;   // a classifier whose tail is doubted rests so many times shorter
constexpr int64_t kStaleTolerance = kMillisecond;
constexpr size_t kMostRecipes = 16;  // all of them are in memory
constexpr float kPartFound = 0.3F;   // a weaker box of the part is none

Reason reason_of(FrameStatus status) {
  switch (status) {
    case FrameStatus::OK:
      return Reason::NONE;
    case FrameStatus::INCOMPLETE:
      return Reason::FRAME_TORN;
    case FrameStatus::OVERSIZE:
      return Reason::FRAME_OVERSIZE;
    case FrameStatus::STALE:
      return Reason::FRAME_STALE;
    case FrameStatus::UNLIT:
      return Reason::UNDEREXPOSED;
    case FrameStatus::CORRUPT:
      break;
  }
  return Reason::FRAME_CORRUPT;
}

Geometry geometry_of(const FrameHeader& f) { return {f.width, f.height, f.stride, f.pixel_format}; }

}  // namespace

InspectionLoop::InspectionLoop(std::shared_ptr<Region> region, std::shared_ptr<RecordRing> records,
                               LoopSettings settings, Engine gate, std::unique_ptr<Engine> classifier)
    : region_(std::move(region)),
      records_(std::move(records)),
      settings_(std::move(settings)),
      speed_guard_(settings_.braking_um_per_s2),
      triggers_(region_->header().triggers.reader()) {
  if (settings_.anticipate) rehearsal_pixels_.assign(region_->slot_bytes(), 0);
  add_recipe(settings_, std::move(gate), std::move(classifier));
  recipe_ = active_ = before_ = recipes_.front().get();
}

void InspectionLoop::add_recipe(RecipeSettings settings, Engine gate, std::unique_ptr<Engine> classifier) {
  const Recipe* latest = nullptr;  // of this number, whatever was taken back in the life of the region
  for (const auto& recipe : recipes_) {
    if (recipe->settings.number == settings.number && !recipe->settings.earlier) latest = recipe.get();
  }
  if (settings.earlier ? latest == nullptr || find_recipe(latest->position, true) != nullptr
                       : latest != nullptr) {
    throw CoreError((settings.earlier ? "no recipe, or two earlier ones, of the number "
                                      : "two recipes have the number ") +
                    std::to_string(settings.number));
  }
  if (recipes_.size() >= kMostRecipes) {
    throw CoreError("more than " + std::to_string(kMostRecipes) +
                    " recipes: all of them are kept loaded and warm; name fewer");
  }
  recipes_.push_back(std::make_unique<Recipe>(std::move(settings), settings_.routing_hysteresis,
                                              std::move(gate), std::move(classifier)));
  const auto is_latest = [](const auto& recipe) { return !recipe->settings.earlier; };
  recipes_.back()->position =
      latest != nullptr ? latest->position
                        : static_cast<size_t>(std::count_if(recipes_.begin(), recipes_.end(), is_latest)) - 1;
}

void InspectionLoop::start(std::function<void(const std::function<void()>&)> around) {
  // Before anybody looks: the region may still say READY of a loop that was killed.
  region_->status().loop_state.store(static_cast<int64_t>(LoopState::STARTING), std::memory_order_release);
  resume_recipe();
  running_.store(true, std::memory_order_release);
  thread_ = std::thread([this, around = std::move(around)] {
    if (around) {
      around([this] { body(); });
    } else {
      body();
    }
    running_.store(false, std::memory_order_release);
  });
}

void InspectionLoop::stop() {
  stop_.store(true, std::memory_order_release);
  region_->header().loop_bell.ring();
  if (thread_.joinable()) thread_.join();
}

void InspectionLoop::body() {
  LineStatus& status = region_->status();
  if (settings_.anticipate) {
    ahead_ = std::make_unique<Ahead>();
    ahead_->start(settings_.cpu,
                  settings_.fifo_priority);  // before this thread, whose place it inherits, is pinned
  }
  if (settings_.cpu >= 0) pin_to_cpu(settings_.cpu);
  if (settings_.fifo_priority > 0) set_fifo_priority(settings_.fifo_priority);
  region_->discard_waiting();
  warm_up();
  while (!stop_.load(std::memory_order_acquire)) step();
  ahead_.reset();
  status.loop_state.store(static_cast<int64_t>(LoopState::STOPPED), std::memory_order_release);
}

// The hot path, top to bottom -------------------------------------------------------------------------

void InspectionLoop::step() {
  Doorbell& bell = region_->header().loop_bell;
  const uint32_t seen = bell.count();
  publish_state();
  open_parts();
  change_recipe();
  if (const auto index = region_->take()) {
    open_parts();  // a frame is published after its trigger: the trigger is there now, if it ever came
    close_part_of(*index);
    region_->release(*index);
    expire_parts();
    keep_warm();
    return;
  }
  expire_parts();
  keep_warm();
  rest(bell, seen);
}

// What a number means now: the one before it, once it was taken back.
Recipe* InspectionLoop::recipe_of(int64_t number) {
  const int64_t back = region_->status().rolled_back.load(std::memory_order_acquire);
  for (const auto& recipe : recipes_) {
    const bool taken_back = (back >> recipe->position & 1) != 0;
    if (recipe->settings.number == number && recipe->settings.earlier == taken_back) return recipe.get();
  }
  return nullptr;
}

Recipe* InspectionLoop::find_recipe(size_t position, bool earlier) {
  for (const auto& recipe : recipes_) {
    if (recipe->position == position && recipe->settings.earlier == earlier) return recipe.get();
  }
  return nullptr;
}

// Between two parts, and in no time: both pairs are loaded and warm. A part belongs to the recipe under which
// its sensor saw it, so none is judged half by one and half by the other.
void InspectionLoop::change_recipe() {
  LineStatus& status = region_->status();
  const int64_t now = now_ns();
  // A trigger that is still on its way belongs to the recipe before, not to the one before that.
  if (changed_ns_ != 0 && now - changed_ns_ < settings_.change_pause_ns) return;
  if (roll_back(now)) return;
  const int64_t wanted = status.recipe_wanted.load(std::memory_order_acquire);
  if (wanted == 0 || wanted == active_->settings.number || wanted == status.recipe_refused) return;
  Recipe* next = recipe_of(wanted);
  if (next == nullptr || next->failing(settings_.engine_fault_limit)) {
    status.recipe_refused.store(wanted, std::memory_order_release);
  } else {
    activate(*next, now);
  }
  region_->header().actuation_bell.ring();
}

void InspectionLoop::activate(Recipe& next, int64_t now) {
  before_ = active_;
  active_ = &next;
  changed_ns_ = now;
  region_->status().recipe_active.store(next.settings.number, std::memory_order_release);
  publish_state();
}

// What a watch has found outside of its range gives way to the one before it, for as long as the region
// lives: one bit of the status words for each recipe. False: nothing is open.
bool InspectionLoop::roll_back(int64_t now) {
  LineStatus& status = region_->status();
  int64_t done = status.rolled_back, refused = status.rollback_refused;
  const int64_t open = status.rollback_wanted.load(std::memory_order_acquire) & ~done & ~refused;
  if (open == 0) return false;
  Recipe* next = nullptr;
  for (size_t position = 0; position < 63; ++position) {
    const int64_t bit = open & int64_t{1} << position;
    if (bit == 0) continue;
    Recipe* const earlier = find_recipe(position, true);
    const bool usable = earlier != nullptr && !earlier->failing(settings_.engine_fault_limit);
    (usable ? done : refused) |= bit;
    if (usable && active_->position == position) next = earlier;
  }
  // Said before it is done: a successor of this loop begins with what it is to be.
  status.rolled_back.store(done, std::memory_order_release);
  status.rollback_refused.store(refused, std::memory_order_release);
  if (next != nullptr) activate(*next, now);
  region_->header().actuation_bell.ring();
  return true;
}

void InspectionLoop::open_parts() {
  Trigger trigger;
  while (triggers_.read(trigger)) {
    Pending& place = pending_[next_pending_++ % kPending];
    if (place.open) give_up(place);  // more parts than any belt holds here
    place = Pending{trigger, true, trigger.stamp_ns < changed_ns_ ? before_ : active_};
    const int64_t gap = trigger.stamp_ns - last_trigger_ns_;
    // A minimum that forgets: a slower belt is believed after a few parts, a faster one at once.
    min_gap_ns_ = std::min(gap, min_gap_ns_ + min_gap_ns_ / 8 + kMillisecond);
    last_trigger_ns_ = trigger.stamp_ns;
  }
  region_->status().triggers_lost.store(static_cast<int64_t>(triggers_.lost()), std::memory_order_relaxed);
}

void InspectionLoop::close_part_of(uint64_t frame_index) {
  const FrameHeader frame = region_->slot(frame_index).header;
  for (Pending& place : pending_) {
    if (!place.open || place.trigger.trigger_id != frame.trigger_id) continue;
    frame_delay_.learn(frame.received_ns - place.trigger.stamp_ns);
    judge(place, frame, region_->pixels(frame_index));
    if (fuse(place)) {  // else more frames of this part are to come
      place.open = false;
      commit();
    }
    // The frame goes back to the camera: nobody may read it any more.
    if (ahead_) ahead_->take(now_ns() + kBeat);
    return;
  }
  // Its part was rejected already, or never announced: a frame without a part is not judged.
  region_->status().frames_orphaned.fetch_add(1, std::memory_order_relaxed);
}

void InspectionLoop::judge(const Pending& place, const FrameHeader& frame, const uint8_t* pixels) {
  begin(place, frame);
  const RoutingRow* row = recipe_->routing.follow(part_.speed_um_per_s);
  if (row == nullptr) {  // nobody has said what is sure at this speed
    region_->status().speed_outside_table.fetch_add(1, std::memory_order_relaxed);
    return settle(Verdict::REJECT, Reason::SPEED, Route::NONE, 0, 0);
  }
  part_.row_um_per_s = static_cast<int32_t>(row->speed_um_per_s);
  part_.limit_gate_good = row->gate_good;
  part_.limit_gate_defect = row->gate_defect;
  part_.limit_gate_empty = row->gate_empty;
  part_.limit_classifier_good = row->classifier_good;
  part_.limit_retest_good = row->retest_good;
  if (!look(frame, pixels)) return;
  const Scores& s = gate_scores_;
  switch (ask_gate(s, *row)) {
    case GateAnswer::GOOD:
      return settle(Verdict::PASS, Reason::NONE, Route::GATE,
                    static_cast<uint8_t>(recipe_->settings.classes.good), s.good);
    case GateAnswer::DEFECT:
      return settle_defect(Route::GATE, s);
    case GateAnswer::EMPTY:
      return settle(Verdict::NO_PART, Reason::NONE, Route::GATE,
                    static_cast<uint8_t>(recipe_->settings.classes.empty), s.empty);
    case GateAnswer::UNCERTAIN:
      return ask_classifier(frame, pixels, *row);
  }
}

void InspectionLoop::note_recipe(const Recipe& recipe) {
  part_.recipe = recipe.settings.number;
  part_.recipe_earlier = recipe.settings.earlier ? 1 : 0;
}

void InspectionLoop::begin(const Pending& place, const FrameHeader& frame) {
  const Trigger& trigger = place.trigger;
  recipe_ = place.recipe;
  part_ = InspectionHalf{};
  note_recipe(*recipe_);
  part_.part_id = trigger.trigger_id;
  part_.frame_id = frame.frame_id;
  part_.encoder_count = trigger.encoder_count;
  part_.triggered_ns = trigger.stamp_ns;
  part_.exposure_end_ns = frame.exposure_end_ns;
  part_.received_ns = frame.received_ns;
  part_.started_ns = now_ns();
  part_.width = frame.width;
  part_.height = frame.height;
  part_.frame_status = static_cast<uint8_t>(frame.status);
  part_.sharpness = part_.defect_size_mm = part_.defect_x = part_.defect_y = -1;
  part_.frames = 1;
  const int64_t speed = believed_speed_um_per_s();
  part_.speed_um_per_s = static_cast<int32_t>(speed);
  part_.budget_ns = budget_ns(speed);
  part_.deadline_ns = frame.received_ns + part_.budget_ns;
}

// Is there a frame to judge at all? When this returns true the gate has seen it and its scores are sound.
bool InspectionLoop::look(const FrameHeader& frame, const uint8_t* pixels) {
  if (const Reason reason = unfit(frame); reason != Reason::NONE) return refuse(reason);
  Engine& gate = recipe_->gate;
  rehearsal_ = geometry_of(frame);
  frame_shape_.store(shape_of(rehearsal_), std::memory_order_release);
  FrameStats stats;
  const Seen seen = see(gate, frame, pixels, stats, part_.gate_in_ns, part_.gate_out_ns, gate_scores_);
  if (seen == Seen::NOT_MINE) stats = gate.preprocess.run(pixels, rehearsal_, gate.input);
  if (seen != Seen::FAILED) {
    note_light(stats);
    if (const Reason reason = badly_lit(); reason != Reason::NONE) return refuse(reason);
  }
  bool sound = seen == Seen::DONE;
  if (seen == Seen::NOT_MINE) {
    offer_ahead(frame, pixels);
    announce_verdict(gate);
    sound = run_engine(gate, part_.gate_in_ns, part_.gate_out_ns, gate_scores_);
  }
  part_.gate_good = gate_scores_.good;
  part_.gate_defect = gate_scores_.defect;
  part_.gate_empty = gate_scores_.empty;
  part_.gate_raw_good = gate_scores_.raw_good;
  part_.gate_raw_defect = gate_scores_.raw_defect;
  part_.gate_raw_empty = gate_scores_.raw_empty;
  part_.gate_class_id = gate_scores_.best_class;
  if (!sound) settle(Verdict::REJECT, Reason::ENGINE, Route::GATE, gate_scores_.best_class, 0);
  if (sound && gate.boxes) note_boxes();
  return sound;
}

// Not judged. Where gate and preprocess are one, its times are in the record, what it said is not.
bool InspectionLoop::refuse(Reason reason) {
  settle(Verdict::REJECT, reason, Route::NONE, 0, 0);
  return false;
}

void InspectionLoop::note_light(const FrameStats& stats) {
  part_.brightness_mean = stats.mean;
  part_.dark_share = stats.dark_share;
  part_.bright_share = stats.bright_share;
  // For auto-exposure, which lives with the camera. The sum is there before the count that tells of it.
  LineStatus& status = region_->status();
  status.light_sum_milli.fetch_add(static_cast<int64_t>(stats.mean * 1000), std::memory_order_relaxed);
  status.light_frames.fetch_add(1, std::memory_order_release);
  if (recipe_->settings.min_sharpness > 0) {
    part_.sharpness = sharpness(recipe_->gate.preprocess.settings(), recipe_->gate.input);
  }
}

// Where the worst defect is and how large, for records and rules; in shares of the part's box, if there is
// one.
void InspectionLoop::note_boxes() {
  const Detection& defect = recipe_->gate.boxes->defect();
  if (defect.score <= 0) return;
  const PreprocessSettings& input = recipe_->gate.preprocess.settings();
  const Detection& part = recipe_->gate.boxes->part();
  Detection frame{0, 0, static_cast<float>(input.out_width), static_cast<float>(input.out_height), 1, 0};
  if (part.score >= kPartFound && part.x2 > part.x1 && part.y2 > part.y1) frame = part;
  const auto share = [](float low, float high, float from, float to) {
    return std::min(1.0F, std::max(0.0F, ((low + high) / 2 - from) / (to - from)));
  };
  part_.defect_x = share(defect.x1, defect.x2, frame.x1, frame.x2);
  part_.defect_y = share(defect.y1, defect.y2, frame.y1, frame.y2);
  if (recipe_->settings.mm_per_pixel <= 0) return;
  const int seen_width = input.roi.width > 0 ? input.roi.width : static_cast<int>(part_.width);
  const int seen_height = input.roi.height > 0 ? input.roi.height : static_cast<int>(part_.height);
  const float width =
      (defect.x2 - defect.x1) * static_cast<float>(seen_width) / static_cast<float>(input.out_width);
  const float height =
      (defect.y2 - defect.y1) * static_cast<float>(seen_height) / static_cast<float>(input.out_height);
  part_.defect_size_mm = std::max(width, height) * recipe_->settings.mm_per_pixel;
}

Reason InspectionLoop::unfit(const FrameHeader& frame) const {
  const Reason reason = reason_of(frame.status);
  if (reason != Reason::NONE) return reason;
  if (!settings_.ignore_deadlines) {
    // Exposed before its part was there, or long ago: an old picture.
    if (frame.exposure_end_ns + kStaleTolerance < part_.triggered_ns) return Reason::FRAME_STALE;
    if (recipe_->settings.max_frame_age_ns > 0 &&
        part_.started_ns - frame.exposure_end_ns > recipe_->settings.max_frame_age_ns) {
      return Reason::FRAME_STALE;
    }
  }
  return recipe_->gate.preprocess.check(geometry_of(frame), region_->slot_bytes()).empty()
             ? Reason::NONE
             : Reason::FRAME_CORRUPT;
}

Reason InspectionLoop::badly_lit() const {
  if (part_.brightness_mean < recipe_->settings.min_mean ||
      part_.dark_share > recipe_->settings.max_dark_share) {
    return Reason::UNDEREXPOSED;
  }
  if (part_.brightness_mean > recipe_->settings.max_mean ||
      part_.bright_share > recipe_->settings.max_bright_share) {
    return Reason::OVEREXPOSED;
  }
  const bool blurred = part_.sharpness >= 0 && part_.sharpness < recipe_->settings.min_sharpness;
  return blurred ? Reason::BLURRED : Reason::NONE;
}

void InspectionLoop::ask_classifier(const FrameHeader& frame, const uint8_t* pixels, const RoutingRow& row) {
  if (!recipe_->classifier) {
    return settle(Verdict::REJECT, Reason::UNCERTAIN, Route::GATE, part_.gate_class_id, part_.gate_good);
  }
  if (!classifier_fits()) {
    return settle(Verdict::REJECT, Reason::NO_TIME, Route::GATE, part_.gate_class_id, part_.gate_good);
  }
  const Geometry geometry = geometry_of(frame);
  if (!recipe_->classifier->preprocess.check(geometry, region_->slot_bytes()).empty()) {
    return settle(Verdict::REJECT, Reason::FRAME_CORRUPT, Route::CLASSIFIER, 0, 0);
  }
  Engine& classifier = *recipe_->classifier;
  Scores s;
  FrameStats stats;
  const Seen seen = see(classifier, frame, pixels, stats, part_.classifier_in_ns, part_.classifier_out_ns, s);
  bool sound = seen == Seen::DONE;
  if (seen == Seen::NOT_MINE) {
    if (prepare_classifier(pixels, geometry) == Help::LATE) {
      return settle(Verdict::REJECT, Reason::NO_TIME, Route::GATE, part_.gate_class_id, part_.gate_good);
    }
    announce_verdict(classifier);
    sound = run_engine(classifier, part_.classifier_in_ns, part_.classifier_out_ns, s);
  }
  part_.looks = 1;
  part_.classifier_raw_good = s.raw_good;
  part_.classifier_raw_defect = s.raw_defect;
  const bool again = sound && recipe_->settings.second_view != SecondView::NONE && doubtful(s, row);
  const bool in_time = !again || classifier_fits();
  if (again && in_time) sound = look_again(s);
  recipe_->classifier_ran_ns = part_.classifier_out_ns;
  part_.classifier_good = s.good;
  part_.classifier_defect = s.defect;
  if (!in_time) return settle(Verdict::REJECT, Reason::NO_TIME, Route::CLASSIFIER, s.best_class, s.good);
  if (!sound) return settle(Verdict::REJECT, Reason::ENGINE, Route::CLASSIFIER, s.best_class, 0);
  switch (edge::ask_classifier(s, row)) {
    case ClassifierAnswer::GOOD:
      return settle(Verdict::PASS, Reason::NONE, Route::CLASSIFIER,
                    static_cast<uint8_t>(recipe_->settings.classes.good), s.good);
    case ClassifierAnswer::EMPTY:
      return settle(Verdict::NO_PART, Reason::NONE, Route::CLASSIFIER,
                    static_cast<uint8_t>(recipe_->settings.classes.empty), s.empty);
    case ClassifierAnswer::DEFECT:
      return settle_defect(Route::CLASSIFIER, s);
    case ClassifierAnswer::UNCERTAIN:
      return settle(Verdict::REJECT, Reason::UNCERTAIN, Route::CLASSIFIER, s.best_defect_class, s.defect);
  }
}

// While the gate runs, another processor has the classifier's input ready, whether it will be asked or not.
void InspectionLoop::offer_ahead(const FrameHeader& frame, const uint8_t* pixels) {
  const Geometry geometry = geometry_of(frame);
  Engine* const classifier = recipe_->classifier.get();
  if (!ahead_ || classifier == nullptr || classifier->see) return;
  if (!classifier->preprocess.check(geometry, region_->slot_bytes()).empty()) return;
  ahead_->offer({&classifier->preprocess, classifier->input, pixels, geometry});
}

Help InspectionLoop::prepare_classifier(const uint8_t* pixels, const Geometry& geometry) {
  const Help help = ahead_ ? ahead_->take(part_.deadline_ns) : Help::YOURS;
  if (help == Help::YOURS) recipe_->classifier->preprocess.run(pixels, geometry, recipe_->classifier->input);
  return help;
}

// The retest: another view of the frame, and the mean of both looks. False: the engine failed.
bool InspectionLoop::look_again(Scores& scores) {
  if (!make_second_view(recipe_->settings.second_view, recipe_->classifier->preprocess.settings(),
                        recipe_->classifier->input, part_.brightness_mean,
                        recipe_->settings.brightness_wanted)) {
    return true;
  }
  Scores again;
  int64_t in_ns = 0;
  const bool sound = run_engine(*recipe_->classifier, in_ns, part_.classifier_out_ns, again);
  part_.looks = 2;
  part_.second_good = again.good;
  scores = Scores::mean(scores, again);
  return sound;
}

// One more run and the PLC's write before the deadline, both at their p99.9?
bool InspectionLoop::classifier_fits() {
  const SlidingQuantile& latency_ns = recipe_->classifier->latency_ns;
  const int64_t write_ns = plc_write_ns(region_->status().plc_write_p999_ns), now = now_ns();
  part_.classifier_needs_ns = latency_ns.value() + write_ns;
  part_.classifier_left_ns = part_.deadline_ns - now;
  const bool fits = part_.classifier_needs_ns <= part_.classifier_left_ns;
  if (!fits) doubt_tails(part_.classifier_left_ns, now);
  return settings_.ignore_deadlines || fits;
}

// Where what both usually take would have been enough: the one whose tail is too much, or both.
void InspectionLoop::doubt_tails(int64_t left_ns, int64_t now) {
  const SlidingQuantile& latency_ns = recipe_->classifier->latency_ns;
  LineStatus& status = region_->status();
  const int64_t usual_write_ns = plc_write_ns(status.plc_write_p50_ns);
  if (latency_ns.value(0.5) + usual_write_ns > left_ns) return;
  const bool engine = latency_ns.value() + usual_write_ns > left_ns;
  const bool plc = latency_ns.value(0.5) + plc_write_ns(status.plc_write_p999_ns) > left_ns;
  if (engine || !plc) recipe_->classifier_doubt.raise(now);
  if (plc || !engine) status.plc_tail_doubts.fetch_add(1, std::memory_order_relaxed);
}

void InspectionLoop::settle(Verdict verdict, Reason reason, Route route, uint8_t class_id, float confidence) {
  part_.verdict = verdict;
  part_.reason = reason;
  part_.route = route;
  part_.class_id = class_id;
  part_.confidence = confidence;
  part_.judged_verdict = verdict;
  part_.judged_class_id = class_id;
}

// A defect was found: the rules say what becomes of the part.
void InspectionLoop::settle_defect(Route route, const Scores& s) {
  const Finding found{s.best_defect_class, s.defect, part_.defect_size_mm, part_.defect_x, part_.defect_y};
  const RuleDecision decision = recipe_->rules.decide(found);
  part_.action = decision.action;
  part_.bin = decision.bin;
  part_.rule = decision.rule;
  if (decision.action == Action::PASS) {  // a defect of a kind that is allowed
    return settle(Verdict::PASS, Reason::NONE, route, s.best_defect_class, s.defect);
  }
  settle(Verdict::REJECT, Reason::DEFECT, route, s.best_defect_class, s.defect);
}

// Adds what this frame said to what is known of its part. True: that was the last frame, part_ holds it all.
bool InspectionLoop::fuse(Pending& place) {
  if (settings_.frames_per_part == 1) return true;
  place.frames++;
  place.rejects += part_.verdict == Verdict::REJECT ? 1 : 0;
  place.passes += part_.verdict == Verdict::PASS ? 1 : 0;
  if (place.frames == 1) {
    place.said = part_;
  } else {
    const int64_t deadline_ns = std::min(place.said.deadline_ns, part_.deadline_ns);
    const int64_t received_ns = std::min(place.said.received_ns, part_.received_ns);
    // The frame that is told of is the one that decides: the first reject, else the least sure.
    const bool told = place.said.verdict == Verdict::REJECT && settings_.fusion == Fusion::ANY_REJECT;
    const bool tells = part_.verdict == Verdict::REJECT || part_.confidence < place.said.confidence;
    if (!told && tells) place.said = part_;
    place.said.deadline_ns = deadline_ns;
    place.said.received_ns = received_ns;
  }
  if (place.frames < settings_.frames_per_part) return false;
  part_ = place.said;
  part_.frames = static_cast<uint8_t>(place.frames);
  const bool rejected =
      settings_.fusion == Fusion::ANY_REJECT ? place.rejects > 0 : 2 * place.rejects >= place.frames;
  const bool empty = place.rejects + place.passes == 0;
  if (rejected) {
    part_.verdict = Verdict::REJECT;
  } else if (!empty && place.rejects + place.passes == place.frames) {
    part_.verdict = Verdict::PASS;
    part_.reason = Reason::NONE;
  } else if (!empty) {  // one camera sees a part and the other none: that is not sure
    part_.verdict = Verdict::REJECT;
    part_.reason = Reason::UNCERTAIN;
  }
  part_.judged_verdict = part_.verdict;
  return true;
}

void InspectionLoop::commit() {
  part_.decided_ns = now_ns();
  learn_verdict_delay();
  // The median: a write that takes longer than usual is bounded, and judged by its acknowledgement, in
  // actuation.
  const int64_t write_ns = plc_write_ns(region_->status().plc_write_p50_ns);
  if (!settings_.ignore_deadlines && part_.decided_ns + write_ns > part_.deadline_ns &&
      part_.reason != Reason::FRAME_LOST) {
    // The PLC could not have it in time. What the engines said stays in the record and is not acted on.
    part_.verdict = Verdict::REJECT;
    if (part_.reason != Reason::NO_TIME) part_.reason = Reason::OVERRUN;
  }
  VerdictEntry entry{};
  entry.part_id = part_.part_id;
  entry.encoder_count = part_.encoder_count;
  entry.triggered_ns = part_.triggered_ns;
  entry.received_ns = part_.received_ns;
  entry.decided_ns = part_.decided_ns;
  entry.deadline_ns = part_.deadline_ns;
  entry.confidence = part_.confidence;
  entry.verdict = part_.verdict;
  entry.reason = part_.reason;
  entry.route = part_.route;
  entry.class_id = part_.class_id;
  entry.action = part_.action;
  entry.bin = part_.bin;
  if (part_.action == Action::HOLD_LINE) {
    region_->status().holds_wanted.fetch_add(1, std::memory_order_relaxed);
  }
  entry.record_index = records_->append(part_);
  region_->push_verdict(entry);
}

// Around the hot path -------------------------------------------------------------------------------

// No frame came, or not all of them.
void InspectionLoop::give_up(Pending& place) {
  place.open = false;
  if (place.frames > 0) {
    part_ = place.said;
    part_.frames = static_cast<uint8_t>(place.frames);
  } else {
    part_ = InspectionHalf{};
    note_recipe(*place.recipe);
    part_.part_id = place.trigger.trigger_id;
    part_.encoder_count = place.trigger.encoder_count;
    part_.triggered_ns = place.trigger.stamp_ns;
    part_.sharpness = part_.defect_size_mm = part_.defect_x = part_.defect_y = -1;
    const int64_t speed = believed_speed_um_per_s();
    part_.speed_um_per_s = static_cast<int32_t>(speed);
    part_.budget_ns = budget_ns(speed);
    // The budget runs from the moment it was given up.
    part_.deadline_ns = now_ns() + part_.budget_ns;
  }
  settle(Verdict::REJECT, Reason::FRAME_LOST, Route::NONE, 0, 0);
  commit();
}

// When the loop no longer waits for a frame of this part: in time for a reject, if some of its frames are
// here.
int64_t InspectionLoop::patience_ends_ns(const Pending& place) const {
  const int64_t end_ns = place.trigger.stamp_ns + settings_.frame_timeout_ns;
  if (place.frames == 0 || settings_.ignore_deadlines) return end_ns;
  return std::min(end_ns, place.said.deadline_ns - 2 * plc_write_ns(region_->status().plc_write_p50_ns));
}

void InspectionLoop::expire_parts() {
  const int64_t now = now_ns();
  // Oldest first, so that verdicts leave in the order of the parts.
  for (size_t i = 0; i < kPending; ++i) {
    Pending& place = pending_[(next_pending_ + i) % kPending];
    if (place.open && patience_ends_ns(place) <= now) give_up(place);
  }
}

// Tells actuation when the verdict comes if this engine has the last word, so that it is awake by then.
void InspectionLoop::announce_verdict(const Engine& engine) {
  if (!settings_.anticipate) return;
  const Anticipation::Window due = engine.verdict_delay.window(now_ns());
  region_->status().verdict_from_ns.store(due.from_ns, std::memory_order_relaxed);
  region_->status().verdict_until_ns.store(due.until_ns, std::memory_order_relaxed);
  region_->header().actuation_bell.ring();
}

void InspectionLoop::learn_verdict_delay() {
  if (settings_.frames_per_part > 1) return;  // the frame that is told of need not be the last
  if (part_.route == Route::GATE && part_.gate_in_ns > 0) {
    recipe_->gate.verdict_delay.learn(part_.decided_ns - part_.gate_in_ns);
  } else if (part_.route == Route::CLASSIFIER && part_.classifier_in_ns > 0) {
    recipe_->classifier->verdict_delay.learn(part_.decided_ns - part_.classifier_in_ns);
  }
}

// On what is in its input.
bool InspectionLoop::run_engine(Engine& engine, int64_t& in_ns, int64_t& out_ns, Scores& scores) {
  in_ns = now_ns();
  const bool ran = engine.run();
  out_ns = now_ns();
  return take_scores(engine, ran, out_ns - in_ns, scores);
}

// The same from the frame on, where the engine can. What it counts as its time has the preprocess in it.
Seen InspectionLoop::see(Engine& engine, const FrameHeader& frame, const uint8_t* pixels, FrameStats& stats,
                         int64_t& in_ns, int64_t& out_ns, Scores& scores) {
  if (!engine.see) return Seen::NOT_MINE;
  announce_verdict(engine);
  const int64_t began_ns = now_ns();
  const Seen seen = engine.see(pixels, geometry_of(frame), stats);
  if (seen == Seen::NOT_MINE) return seen;
  in_ns = began_ns;
  out_ns = now_ns();
  return take_scores(engine, seen == Seen::DONE, out_ns - in_ns, scores) ? seen : Seen::FAILED;
}

// False: it failed, or what it said cannot be scores. Such failures in a row end READY.
bool InspectionLoop::take_scores(Engine& engine, bool ran, int64_t took_ns, Scores& scores) {
  scores = ran ? Scores::from(engine.scores, engine.classes, recipe_->settings.classes, engine.calibration)
               : Scores{};
  if (!scores.valid) {
    engine.faults_in_a_row++;
    region_->status().engine_faults.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  engine.faults_in_a_row = 0;
  engine.latency_ns.add(took_ns);
  return true;
}

// A loop that was killed is followed by one of the same recipe.
void InspectionLoop::resume_recipe() {
  LineStatus& status = region_->status();
  Recipe* last = recipe_of(status.recipe_active.load(std::memory_order_acquire));
  recipe_ = active_ = before_ = last != nullptr ? last : recipes_.front().get();
  status.recipe_active.store(active_->settings.number, std::memory_order_release);
}

// The active recipe as long as it takes; the others share as much again.
void InspectionLoop::warm_up() {
  warm_up(*active_, settings_.warmup_limit_ns);
  for (const auto& recipe : recipes_) {
    if (recipe.get() == active_) continue;
    warm_up(*recipe, settings_.warmup_limit_ns / static_cast<int64_t>(recipes_.size() - 1));
  }
  recipe_ = active_;
}

void InspectionLoop::warm_up(Recipe& recipe, int64_t limit_ns) {
  recipe_ = &recipe;
  const int64_t end_ns = now_ns() + limit_ns;
  const int cold_runs = std::min(50, settings_.warmup_runs / 5);
  for (int i = 0; i < settings_.warmup_runs && now_ns() < end_ns; ++i) {
    if (stop_.load(std::memory_order_acquire)) break;
    const int64_t began_ns = now_ns();
    if (!warm_up(recipe.gate) || (recipe.classifier && !warm_up(*recipe.classifier))) return;
    if (i == cold_runs) {  // the first runs are not what the line will see
      recipe.gate.latency_ns.clear();
      if (recipe.classifier) recipe.classifier->latency_ns.clear();
    }
    // A real-time thread that never rests is stopped for 50 ms in every second, and that would be the p99.9.
    const int64_t ran_ns = now_ns();
    sleep_until_ns(ran_ns + (ran_ns - began_ns) / kWarmUpRest);
  }
  recipe.classifier_ran_ns = now_ns();
}

// An engine that fails before the first part is a fault at once.
bool InspectionLoop::warm_up(Engine& engine) {
  std::memset(engine.input, 0, engine.preprocess.output_bytes());
  int64_t in = 0, out = 0;
  Scores scores;
  const bool sound = run_engine(engine, in, out, scores);
  if (!sound) engine.faults_in_a_row = settings_.engine_fault_limit;
  return sound;
}

void InspectionLoop::keep_warm() {
  if (settings_.keep_warm_ns <= 0) return;
  const int64_t now = now_ns();
  recipe_ = active_;
  Engine* const classifier = active_->classifier.get();
  TailDoubt& doubt = active_->classifier_doubt;
  const int64_t pause_ns = doubt.raised() ? settings_.keep_warm_ns / kDoubtHurry : settings_.keep_warm_ns;
  if (classifier == nullptr || now - active_->classifier_ran_ns < pause_ns) return keep_others_warm(now);
  const SlidingQuantile& latency_ns = classifier->latency_ns;
  if (!fits_between_parts(doubt.raised() ? latency_ns.value(0.5) : latency_ns.value(), now)) return;
  int64_t in = 0;
  Scores scores;
  const bool sound = run_engine(*classifier, in, active_->classifier_ran_ns, scores);
  if (sound && doubt.raised())
    doubt.ran(active_->classifier_ran_ns - in, active_->classifier_ran_ns, classifier->latency_ns);
}

// Only where the next part cannot be here before the run is over.
bool InspectionLoop::fits_between_parts(int64_t takes_ns, int64_t now) const {
  for (const Pending& place : pending_) {
    if (place.open) return false;
  }
  const bool idle = now - last_trigger_ns_ > kSecond;
  return idle || now - last_trigger_ns_ + 3 * takes_ns < min_gap_ns_;
}

// One engine of one other recipe at a time, so that the first part after a change does not meet cold ones.
void InspectionLoop::keep_others_warm(int64_t now) {
  if (recipes_.size() < 2 || now - others_ran_ns_ < settings_.keep_warm_ns) return;
  Recipe& other = *recipes_[next_other_ / 2 % recipes_.size()];
  Engine* const engine = next_other_ % 2 == 0 ? &other.gate : other.classifier.get();
  if (&other == active_ || engine == nullptr) {
    next_other_++;
    return;
  }
  if (!fits_between_parts(engine->latency_ns.value(), now)) return;
  next_other_++;
  recipe_ = &other;
  int64_t in = 0;
  Scores scores;
  run_engine(*engine, in, others_ran_ns_, scores);
  recipe_ = active_;
}

// Asleep until something happens, but awake and warm when the frame of the last trigger is due.
void InspectionLoop::rest(Doorbell& bell, uint32_t seen) {
  const Anticipation::Window due = frame_delay_.window(last_trigger_ns_);
  const int64_t now = now_ns();
  if (!settings_.anticipate || now >= due.until_ns) return bell.wait(seen, next_event_ns());
  if (now < due.from_ns) return bell.wait(seen, std::min(due.from_ns, next_event_ns()));
  if (rehearsed_ns_ != last_trigger_ns_) {
    rehearsed_ns_ = last_trigger_ns_;
    rehearse();
  }
  bell.spin(seen, due.until_ns);
}

// The preprocess of the last frame's shape, for the caches' sake; the next frame overwrites what comes of it.
void InspectionLoop::rehearse() {
  if (rehearsal_.width > 0 && !active_->gate.see)
    active_->gate.preprocess.run(rehearsal_pixels_.data(), rehearsal_, active_->gate.input);
}

void InspectionLoop::publish_state() {
  LineStatus& status = region_->status();
  const Engine* const classifier = active_->classifier.get();
  const bool fault = active_->failing(settings_.engine_fault_limit);
  const bool held = status.holds_wanted.load(std::memory_order_relaxed) >
                    status.holds_released.load(std::memory_order_relaxed);
  const LoopState state = fault ? LoopState::FAULT : held ? LoopState::HELD : LoopState::READY;
  status.loop_state.store(static_cast<int64_t>(state), std::memory_order_relaxed);
  status.gate_p999_ns.store(active_->gate.latency_ns.value(), std::memory_order_relaxed);
  status.classifier_p999_ns.store(classifier != nullptr ? classifier->latency_ns.value() : 0,
                                  std::memory_order_relaxed);
  status.loop_beat_ns.store(now_ns(), std::memory_order_release);
}

int64_t InspectionLoop::next_event_ns() const {
  int64_t next = now_ns() + kBeat;
  for (const Pending& place : pending_) {
    if (place.open) next = std::min(next, patience_ends_ns(place));
  }
  return next;
}

int64_t InspectionLoop::plc_write_ns(const std::atomic<int64_t>& measured_ns) const {
  const int64_t measured = measured_ns.load(std::memory_order_relaxed);
  return measured > 0 ? measured : settings_.plc_write_assumed_ns;
}

int64_t InspectionLoop::believed_speed_um_per_s() {
  const LineStatus& status = region_->status();
  const int64_t stamp = status.speed_stamp_ns.load(std::memory_order_acquire), now = now_ns();
  if (stamp == 0 || now - stamp > settings_.speed_stale_ns) return settings_.max_speed_um_per_s;
  return speed_guard_.believe(status.speed_um_per_s.load(std::memory_order_relaxed), now);
}

int64_t InspectionLoop::budget_ns(int64_t speed) const {
  if (speed <= 0) return settings_.budget_cap_ns;  // a belt that stands or backs up brings the part no nearer
  return std::min(settings_.budget_cap_ns, settings_.window_um * 1'000 * kMillisecond / speed);
}

}  // namespace edge
