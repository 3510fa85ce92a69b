#include <cmath>
#include <random>

#include "check.hpp"
#include "device_clock.hpp"
#include "frame_ids.hpp"

using namespace edge;

namespace {

constexpr int64_t kFrame = 16'666'667, kOffset = -7'123'456'789'012;

// A camera whose clock gains `ppm`; ways of 1 ms and up to 9 ms more.
struct Camera {
  double ppm;
  std::mt19937 random{7};
  int64_t ours = 9'000'000'000'000;
  int64_t shift = 0;

  int64_t stamp() const {
    const double since = static_cast<double>(ours - 9'000'000'000'000);
    return ours - kOffset + shift + std::llround(since * ppm * 1e-6);
  }
  int64_t way() { return 1'000'000 + std::uniform_int_distribution<int64_t>(0, 9'000'000)(random); }
};

}  // namespace

TEST(the_cameras_clock_is_followed_within_a_millisecond_of_the_shortest_way) {
  Camera camera{40.0};
  DeviceClock clock;
  for (int i = 0; i < 60 * 40; ++i) {
    camera.ours += kFrame;
    const int64_t arrival = camera.ours + camera.way();
    const int64_t mapped = clock.add(camera.stamp(), arrival);
    CHECK(mapped <= arrival);
    if (i < 60 * 12) continue;
    CHECK(mapped - camera.ours > -500'000 && mapped - camera.ours < 2'500'000);
  }
  CHECK(clock.settled() && clock.jumps() == 0);
  CHECK(std::abs(clock.drift() * 1e6 + 40.0) < 15.0);
}

TEST(a_late_frame_is_mapped_as_old_as_it_is_and_is_no_jump) {
  Camera camera{0};
  DeviceClock clock;
  for (int i = 0; i < 200; ++i) {
    camera.ours += kFrame;
    const bool late = i % 50 == 40;
    const int64_t mapped = clock.add(camera.stamp(), camera.ours + camera.way() + (late ? 400'000'000 : 0));
    CHECK(mapped - camera.ours < 11'000'000);
  }
  CHECK(clock.jumps() == 0);
}

TEST(a_clock_that_jumps_is_found_and_followed_again) {
  for (const int64_t jump : {-3'600'000'000'000L, -80'000'000L, 80'000'000L, 3'600'000'000'000L}) {
    Camera camera{10};
    DeviceClock clock;
    for (int i = 0; i < 300; ++i) {
      camera.ours += kFrame;
      if (i == 150) camera.shift = jump;
      const int64_t mapped = clock.add(camera.stamp(), camera.ours + camera.way());
      if (i < 150 || i > 155) CHECK(std::abs(mapped - camera.ours) < 12'000'000);
    }
    CHECK(clock.jumps() == 1);
  }
}

// It was taken for the id before 1: what followed was new only once the camera's count had come round.
TEST(a_frame_without_an_id_leaves_the_count_as_it_was) {
  for (const uint64_t begin : {10'000, 50'000}) {
    FrameIds ids(false);
    CHECK(ids.next(0).old);
    CHECK(ids.next(begin).missing == 0);
    CHECK(ids.next(0).old);
    const FrameIds::Step after = ids.next(begin + 2);
    CHECK(!after.old && after.missing == 1);
  }
}

TEST(every_id_is_accounted_for_across_the_wrap) {
  FrameIds ids(false);
  CHECK(ids.next(65533).missing == 0);
  CHECK(ids.next(65535).missing == 1);
  CHECK(ids.next(1).missing == 0);
  CHECK(ids.next(4).missing == 2);
  CHECK(ids.next(4).old && ids.next(65534).old);
  CHECK(ids.next(5).missing == 0);
  FrameIds wide(true);
  CHECK(wide.next(0).missing == 0);
  CHECK(wide.next(70'000).missing == 69'999);
  CHECK(wide.next(3).old);
}
