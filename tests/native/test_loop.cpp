#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "allocations.hpp"
#include "check.hpp"
#include "line_files.hpp"
#include "loop.hpp"

using namespace edge;

namespace {

constexpr uint64_t kParts = 300;
constexpr uint32_t kSize = 16;

// An engine that says "good" for bright frames and is unsure of dark ones.
struct Judge {
  explicit Judge(float unsure) : unsure(unsure) {}
  Engine engine() {
    PreprocessSettings settings;
    settings.out_width = settings.out_height = 4;
    Engine e{Preprocess(settings), nullptr, scores, 3, nullptr};
    input.resize(e.preprocess.elements());
    e.input = input.data();
    e.run = [this] {
      scores[1] = input[0] > 0.5F ? bright : unsure;
      scores[2] = 1.0F - scores[1];
      return true;
    };
    return e;
  }
  float unsure, bright = 1.0F;
  float scores[3] = {0, 0, 0};
  std::vector<float> input;
};

void show_parts(Region& region) {
  for (uint64_t id = 1; id <= kParts; ++id) {
    region.push_trigger({id, static_cast<int64_t>(id), now_ns()});
    std::optional<uint64_t> slot = region.claim();
    while (!slot) {
      std::this_thread::yield();
      slot = region.claim();
    }
    std::fill_n(region.pixels(*slot), kSize * kSize, id % 2 == 0 ? uint8_t{200} : uint8_t{60});
    FrameHeader frame{};
    frame.frame_id = frame.trigger_id = id;
    frame.exposure_end_ns = now_ns();
    frame.width = frame.height = frame.stride = kSize;
    frame.pixel_format = PixelFormat::MONO8;
    region.publish(*slot, frame);
  }
}

LoopSettings patient_settings() {
  LoopSettings s;
  s.budget_cap_ns = 60 * kSecond;  // sanitizers are slow; time is not what is tested here
  s.window_um = 100'000'000;
  s.frame_timeout_ns = 60 * kSecond;
  s.routing = {{2'000'000, 0.9F, 0.9F, 0.9F, 0.5F}};
  s.warmup_runs = 3;
  return s;
}

// Prepares and judges in one call, as an engine on a GPU does.
Engine seeing(Judge& judge) {
  Engine e = judge.engine();
  auto own = std::make_shared<Preprocess>(e.preprocess);
  e.see = [own, input = e.input, run = e.run](const uint8_t* pixels, const Geometry& geometry,
                                              FrameStats& stats) {
    stats = own->run(pixels, geometry, input);
    return run() ? Seen::DONE : Seen::FAILED;
  };
  return e;
}

void judge_beside_the_others(LoopSettings settings, bool see = false) {
  const LineFiles files("loop");
  auto region = Region::create(files.region(), 4, kSize * kSize);
  auto ring = RecordRing::create(files.ring(), 1024);
  Judge gate(0.3F), classifier(0.8F);
  InspectionLoop loop(region, ring, std::move(settings), see ? seeing(gate) : gate.engine(),
                      std::make_unique<Engine>(see ? seeing(classifier) : classifier.engine()));
  VerdictRing::Reader verdicts = region->header().verdicts.reader();
  loop.start();
  while (region->status().loop_state != static_cast<int64_t>(LoopState::READY)) std::this_thread::yield();

  std::thread camera([&] { show_parts(*region); });
  std::vector<int> decided(kParts + 1, 0);
  std::atomic<int> by_gate{0}, by_classifier{0}, wrong{0};
  std::thread actuation([&] {
    VerdictEntry entry;
    for (uint64_t got = 0; got < kParts;) {
      const uint32_t seen = region->header().actuation_bell.count();
      while (verdicts.read(entry)) {
        got++;
        decided[entry.part_id]++;
        (entry.route == Route::GATE ? by_gate : by_classifier)++;
        if (entry.verdict != Verdict::PASS) wrong++;
        ring->acknowledge(entry.record_index, {1, 2, 3, entry.verdict, entry.reason, PlcResult::ACKED, {}});
      }
      if (got < kParts) region->header().actuation_bell.wait(seen, now_ns() + 10 * kMillisecond);
    }
  });
  RecordRing::Reader reader(ring, 0);
  uint64_t recorded = 0;
  while (recorded < kParts) recorded += reader.read(64, 60 * kSecond).size();
  camera.join();
  actuation.join();
  loop.stop();

  for (uint64_t id = 1; id <= kParts; ++id) CHECK(decided[id] == 1);
  CHECK(wrong == 0);
  CHECK(by_gate == kParts / 2);
  CHECK(by_classifier == kParts / 2);
  CHECK(reader.lost() == 0);
  CHECK(!loop.running());
}

}  // namespace

TEST(every_part_gets_one_verdict_while_camera_actuation_and_recorder_run_beside_the_loop) {
  judge_beside_the_others(patient_settings());
}

TEST(every_part_gets_its_verdict_with_the_classifiers_input_prepared_ahead) {
  LoopSettings settings = patient_settings();
  settings.anticipate = true;
  judge_beside_the_others(std::move(settings));
}

TEST(every_part_gets_its_verdict_from_engines_that_prepare_their_frames_themselves) {
  LoopSettings settings = patient_settings();
  settings.anticipate = true;
  judge_beside_the_others(std::move(settings), true);
}

// The gate's run is called on the loop's thread: what that thread has allocated so far is seen there.
TEST(two_looks_and_fused_frames_allocate_nothing) {
  const LineFiles files("allocations");
  auto region = Region::create(files.region(), 4, kSize * kSize);
  auto ring = RecordRing::create(files.ring(), 1024);
  LoopSettings settings = patient_settings();
  settings.frames_per_part = 2;
  settings.routing = {{500'000, 0.9F, 0.75F, 0.9F, 0.5F, 0.1F}, {2'000'000, 0.9F, 0.75F, 0.9F, 0.5F, 0.1F}};
  settings.gate_scores.good = {1.1F, 0.1F};
  settings.second_view = SecondView::MIRRORED;
  settings.min_sharpness = 1e-9F;
  settings.classes.limits = {2, 2, 0.99F};
  settings.rules = {{2, 0, 0, 0, 1e9F, Action::REWORK, 1}};
  settings.zones = {{0, 0, 1, 1}};
  Judge gate(0.3F), classifier(0.8F);
  Engine first = gate.engine();
  std::atomic<size_t> at_first{0}, at_last{0};
  std::atomic<int> runs{0};
  first.run = [&, judge = first.run] {
    at_last = allocations();
    if (++runs == 20) at_first = at_last.load();  // warmed up, and the geometry prepared
    return judge();
  };
  InspectionLoop loop(region, ring, settings, std::move(first),
                      std::make_unique<Engine>(classifier.engine()));
  VerdictRing::Reader verdicts = region->header().verdicts.reader();
  loop.start();
  while (region->status().loop_state != static_cast<int64_t>(LoopState::READY)) std::this_thread::yield();
  for (uint64_t id = 1; id <= 100; ++id) {
    region->status().speed_um_per_s = id % 3 == 0 ? 400'000 : 900'000;
    region->status().speed_stamp_ns = now_ns();
    region->push_trigger({id, static_cast<int64_t>(id), now_ns()});
    for (uint64_t frame_id = 0; frame_id < 2; ++frame_id) {
      std::optional<uint64_t> slot = region->claim();
      while (!slot) {
        std::this_thread::yield();
        slot = region->claim();
      }
      for (uint32_t i = 0; i < kSize * kSize; ++i) {
        region->pixels(*slot)[i] = static_cast<uint8_t>((id % 2 == 0 ? 190 : 50) + (i * 7) % 23);
      }
      FrameHeader frame{};
      frame.frame_id = id * 2 + frame_id;
      frame.trigger_id = id;
      frame.exposure_end_ns = now_ns();
      frame.width = frame.height = frame.stride = kSize;
      frame.pixel_format = PixelFormat::MONO8;
      region->publish(*slot, frame);
    }
    while (region->status().parts_decided < static_cast<int64_t>(id)) std::this_thread::yield();
  }
  loop.stop();
  VerdictEntry entry;
  int passes = 0;
  while (verdicts.read(entry)) passes += entry.verdict == Verdict::PASS ? 1 : 0;
  CHECK(passes == 100);
  CHECK(runs > 200);
  CHECK(at_first == at_last);
}

// The first recipe passes everything, the second rejects everything: a part judged half by each would show.
TEST(every_part_is_judged_by_one_recipe_while_recipes_change_under_load) {
  const LineFiles files("recipes");
  auto region = Region::create(files.region(), 4, kSize * kSize);
  auto ring = RecordRing::create(files.ring(), 4096);
  LoopSettings settings = patient_settings();
  settings.anticipate = true;  // the helper's job changes with the recipe
  settings.change_pause_ns = 2 * kMillisecond;
  settings.number = 1;
  RecipeSettings second = settings;
  second.number = 2;
  second.rules = {{-1, -1, 0, 0, 1e9F, Action::REJECT, 7}};
  Judge gate(0.3F), classifier(0.8F), other_gate(0.3F), other_classifier(0.8F);
  InspectionLoop loop(region, ring, settings, gate.engine(), std::make_unique<Engine>(classifier.engine()));
  for (Judge* judge : {&other_gate, &other_classifier}) judge->bright = 0.0F, judge->unsure = 0.0F;
  other_gate.bright = 0.3F;  // unsure: the classifier's input is prepared too
  loop.add_recipe(second, other_gate.engine(), std::make_unique<Engine>(other_classifier.engine()));
  VerdictRing::Reader verdicts = region->header().verdicts.reader();
  RecordRing::Reader reader(ring, 0);
  loop.start();
  while (region->status().loop_state != static_cast<int64_t>(LoopState::READY)) std::this_thread::yield();
  LineStatus& status = region->status();
  std::atomic<bool> over{false};
  std::atomic<int> changes{0};
  std::thread plc([&] {
    while (!over) {
      status.recipe_wanted = 3 - status.recipe_active;
      region->header().loop_bell.ring();
      while (!over && status.recipe_active != status.recipe_wanted) std::this_thread::yield();
      changes++;
    }
  });
  uint64_t id = 0;
  while (changes < 20 || id < kParts) {
    const auto change = changes.load();
    region->push_trigger({++id, 0, now_ns()});
    while (id % 5 == 0 && changes == change) std::this_thread::yield();  // the change comes before the frame
    std::optional<uint64_t> slot;
    while (!(slot = region->claim())) std::this_thread::yield();
    std::fill_n(region->pixels(*slot), kSize * kSize, id % 2 == 0 ? uint8_t{200} : uint8_t{60});
    FrameHeader frame{};
    frame.frame_id = frame.trigger_id = id;
    frame.exposure_end_ns = now_ns();
    frame.width = frame.height = frame.stride = kSize;
    frame.pixel_format = PixelFormat::MONO8;
    region->publish(*slot, frame);
    while (status.parts_decided < static_cast<int64_t>(id)) std::this_thread::yield();
  }
  over = true;
  plc.join();
  loop.stop();
  VerdictEntry entry;
  uint64_t got = 0, by_second = 0, mixed = 0;
  while (verdicts.read(entry)) {
    got++;
    ring->acknowledge(entry.record_index, {1, 2, 3, entry.verdict, entry.reason, PlcResult::ACKED, {}});
  }
  for (const PartRecord& record : reader.read(4096, 0)) {
    const InspectionHalf& part = record.inspection;
    by_second += part.recipe == 2 ? 1 : 0;
    const bool by_first = part.verdict == Verdict::PASS && part.bin == 0;
    const bool all_second = part.verdict == Verdict::REJECT && part.bin == 7;
    mixed += (part.recipe == 1 ? by_first : all_second) ? 0 : 1;
  }
  CHECK(got == id);
  CHECK(mixed == 0);
  CHECK(by_second > 0 && by_second < id);
}

TEST(a_belt_is_believed_to_be_faster_at_once_and_slower_as_fast_as_it_brakes) {
  SpeedGuard guard(1'000'000);  // 1 m/s²
  CHECK(guard.believe(500'000, kSecond) == 500'000);
  CHECK(guard.believe(2'000'000, kSecond + 1) == 2'000'000);
  CHECK(guard.believe(0, kSecond + 500 * kMillisecond + 1) == 1'500'000);
  CHECK(guard.believe(-1'600'000, kSecond + 501 * kMillisecond) == 1'600'000);
  CHECK(guard.believe(0, 60 * kSecond) == 0);
}

TEST(an_event_is_anticipated_from_the_ones_before) {
  Anticipation due;
  CHECK(due.window(kSecond).until_ns == 0);
  for (const int64_t delay_us : {3000, 3100, 3200, 3100}) due.learn(delay_us * 1000);
  const Anticipation::Window window = due.window(kSecond);
  CHECK(window.from_ns > kSecond + 2'500'000 && window.from_ns < kSecond + 3'000'000);
  CHECK(window.until_ns > kSecond + 3'000'000 && window.until_ns < kSecond + 3'400'000);
}

TEST(waiting_awake_has_a_bound_however_late_the_event) {
  Anticipation due;
  for (const int64_t delay : {kMillisecond, 80 * kMillisecond}) due.learn(delay);
  const Anticipation::Window window = due.window(0);
  CHECK(window.until_ns > window.from_ns && window.until_ns - window.from_ns <= 1'500'000);
}

TEST(stop_ends_a_loop_that_waits) {
  const LineFiles files("stop");
  auto region = Region::create(files.region(), 2, 64);
  auto ring = RecordRing::create(files.ring(), 16);
  Judge gate(0.3F);
  InspectionLoop loop(region, ring, patient_settings(), gate.engine(), nullptr);
  loop.start();
  while (region->status().loop_beat_ns == 0) std::this_thread::yield();
  loop.stop();
  CHECK(!loop.running());
  CHECK(region->status().loop_state == static_cast<int64_t>(LoopState::STOPPED));
}

TEST(quantiles_are_never_too_small_and_within_their_bucket) {
  Histogram h;
  for (int64_t v = 1; v <= 100'000; ++v) h.add(v * 100);
  for (const double q : {0.5, 0.99, 0.999}) {
    const double exact = q * 100'000 * 100;
    CHECK(static_cast<double>(h.quantile(q)) >= exact);
    CHECK(static_cast<double>(h.quantile(q)) <= exact * 1.01);
  }
  CHECK(h.max() == 10'000'000);
  SlidingQuantile s(1000, 0.999);
  CHECK(s.value() == 0);
  for (int i = 0; i < 1000; ++i) s.add(i == 500 ? 9'000'000 : 1000);
  CHECK(s.value() >= 1000 && s.value() < 1100);  // the one outlier is the last thousandth
  for (int i = 0; i < 10; ++i) s.add(5'000'000);
  CHECK(s.value() >= 5'000'000);
  for (int i = 0; i < 1000; ++i) s.add(2000);
  CHECK(s.value() < 2100);
  CHECK(s.value(0.5) >= 2000 && s.value(0.5) < 2100);
  s.clear();
  CHECK(s.value() == 0);
}

TEST(a_doubted_tail_is_replaced_by_as_many_fresh_runs_and_not_doubted_again_at_once) {
  SlidingQuantile known(kLatencyRuns, kLatencyQuantile);
  for (int i = 0; i < 1000; ++i) known.add(i % 300 == 0 ? 50'000'000 : 1'000'000);
  CHECK(known.value() >= 50'000'000);
  TailDoubt doubt;
  CHECK(!doubt.raised());
  doubt.raise(1);
  for (int i = 1; i < TailDoubt::kRuns; ++i) doubt.ran(2'000'000, i, known);
  CHECK(doubt.raised() && known.value() >= 50'000'000);
  const auto before = allocations();
  doubt.ran(3'000'000, TailDoubt::kRuns, known);
  CHECK(allocations() == before);
  CHECK(!doubt.raised());
  CHECK(known.value() >= 3'000'000 && known.value() < 3'200'000);  // the slowest of so few
  doubt.raise(TailDoubt::kRuns + 1);
  CHECK(!doubt.raised());
  doubt.raise(TailDoubt::kRuns + TailDoubt::kRest);
  CHECK(doubt.raised());
}
