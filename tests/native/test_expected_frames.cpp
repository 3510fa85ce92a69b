#include <thread>

#include "check.hpp"
#include "clock.hpp"
#include "expected_frames.hpp"

using namespace edge;

namespace {

constexpr int64_t kMs = kMillisecond;

Trigger trigger(uint64_t id, int64_t stamp_ns) { return {id, 0, stamp_ns}; }

}  // namespace

TEST(a_frame_belongs_to_the_trigger_before_its_exposure) {
  ExpectedFrames frames(100 * kMs, 15 * kMs);
  for (uint64_t id = 1; id <= 5; ++id) {
    const int64_t stamp = static_cast<int64_t>(id) * 66 * kMs;
    frames.add(trigger(id, stamp));
    const auto found = frames.match(stamp + 3 * kMs, 0);
    CHECK(found && found->trigger_id == id);
  }
}

TEST(a_trigger_that_the_camera_did_not_see_gives_its_neighbour_s_picture_to_nobody) {
  ExpectedFrames frames(100 * kMs, 15 * kMs);
  frames.add(trigger(1, 0));
  CHECK(frames.match(2 * kMs, 0)->trigger_id == 1);
  frames.add(trigger(2, 66 * kMs));
  frames.add(trigger(3, 132 * kMs));
  CHECK(!frames.match(134 * kMs, 0));  // by its id the frame of 2, by its time of 3
  CHECK(frames.disagreements() == 1);
  frames.add(trigger(4, 198 * kMs));
  CHECK(frames.match(200 * kMs, 0)->trigger_id == 4);
  CHECK(frames.noticed() == 2);
}

TEST(a_frame_whose_ids_say_that_one_is_missing_is_that_of_the_trigger_after) {
  ExpectedFrames frames(100 * kMs, 15 * kMs);
  frames.add(trigger(1, 0));
  CHECK(frames.match(2 * kMs, 0)->trigger_id == 1);
  frames.add(trigger(2, 66 * kMs));
  frames.add(trigger(3, 132 * kMs));
  CHECK(frames.match(134 * kMs, 1)->trigger_id == 3);
  CHECK(frames.noticed() == 1);
  frames.add(trigger(4, 198 * kMs));
  CHECK(frames.match(std::nullopt, 0)->trigger_id == 4);  // incomplete: known by its id alone
}

TEST(an_old_picture_and_one_that_could_be_of_two_parts_are_nobody_s) {
  ExpectedFrames frames(100 * kMs, 15 * kMs);
  frames.add(trigger(1, 66 * kMs));
  CHECK(!frames.match(60 * kMs, 0));  // exposed before its part was there
  CHECK(!frames.match(90 * kMs, 0));  // and long after
  frames.add(trigger(2, 70 * kMs));
  CHECK(!frames.match(72 * kMs, 0));
}

TEST(a_frame_that_overtakes_the_word_of_its_trigger_waits_for_it) {
  ExpectedFrames frames(100 * kMs, 15 * kMs);
  frames.add(trigger(1, 0));
  CHECK(frames.match(2 * kMs, 0)->trigger_id == 1);
  std::thread sensor([&] { frames.add(trigger(2, 66 * kMs)); });
  const auto found = frames.match(67 * kMs, 0);
  sensor.join();
  CHECK(found && found->trigger_id == 2);
}

// The other way round the loop took the frame for nobody's, and rejected its part as frame_lost.
TEST(no_frame_is_given_a_trigger_that_the_loop_has_not_been_told_of) {
  ExpectedFrames frames(100 * kMs, 15 * kMs);
  std::optional<Trigger> early;
  frames.add(trigger(1, 0), [&] {
    std::thread camera([&] { early = frames.match(2 * kMs, 0); });
    camera.join();
  });
  CHECK(!early);
  CHECK(frames.match(2 * kMs, 0)->trigger_id == 1);
}
