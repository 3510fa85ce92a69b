#include <atomic>
#include <thread>
#include <vector>

#include "allocations.hpp"
#include "check.hpp"
#include "cuda_graph.hpp"
#include "cuda_preprocess.hpp"
#include "error.hpp"
#include "frame_door.hpp"

using namespace edge;

TEST(a_bounded_wait_ends_when_the_work_is_done) {
  int asked = 0;
  const auto query = [&] { return ++asked < 3 ? CudaDriver::kNotReady : CudaDriver::kSuccess; };
  CHECK(wait_bounded(query, now_ns() + kSecond) == Waited::DONE);
  CHECK(asked == 3);
}

TEST(a_bounded_wait_ends_when_the_time_is_over) {
  const std::size_t before = allocations();
  CHECK(wait_bounded([] { return CudaDriver::kNotReady; }, now_ns() + kMillisecond) == Waited::LATE);
  int asked = 0;
  const auto query = [&] {
    ++asked;
    return CudaDriver::kNotReady;
  };
  CHECK(wait_bounded(query, 0) == Waited::LATE);  // one look, even when there is no time
  CHECK(asked == 1);
  CHECK(allocations() == before);
}

TEST(a_bounded_wait_ends_at_an_error) {
  CHECK(wait_bounded([] { return 700; }, now_ns() + kSecond) == Waited::FAILED);
}

// The thread sanitizer watches `tables`, which is not atomic.
TEST(what_a_launch_reads_is_changed_only_behind_a_closed_door) {
  FrameDoor door;
  CHECK(!door.enter(7));
  uint64_t tables = 7;
  std::atomic<bool> over{false};
  std::atomic<int> inside{0}, wrong{0};
  door.open(7);
  std::thread loop([&] {
    for (uint64_t frame = 0; !over; ++frame) {
      const uint64_t shape = 7 + frame % 2;
      if (!door.enter(shape)) continue;
      inside++;
      if (tables != shape) wrong++;
      door.leave();
    }
  });
  for (int change = 0; change < 200; ++change) {
    const int before = inside;
    const int64_t end_ns = now_ns() + kSecond;
    while (inside == before && now_ns() < end_ns) std::this_thread::yield();
    door.close();
    tables = tables == 7 ? 8 : 7;
    door.open(tables);
  }
  over = true;
  loop.join();
  CHECK(wrong == 0);
  CHECK(inside >= 200);
}

TEST(the_kernel_reads_only_the_frame) {
  PreprocessSettings settings;
  settings.out_width = 7;
  settings.out_height = 5;
  const Preprocess preprocess(settings);
  for (const PixelFormat format :
       {PixelFormat::MONO8, PixelFormat::BAYER_RG8, PixelFormat::BGR8, PixelFormat::BGRA8}) {
    for (const int side : {2, 3, 5, 33}) {
      const int64_t stride = side * bytes_per_pixel(format);
      // Exactly as many bytes as the frame has: the address sanitizer watches both ends.
      const std::vector<uint8_t> pixels(static_cast<std::size_t>(stride * side), 100);
      std::vector<float> out(preprocess.elements(), -1.0F);
      const FrameStats stats = cuda_preprocess_on_cpu(cuda_tables(preprocess, {side, side, stride, format}),
                                                      pixels.data(), stride, out.data());
      CHECK(stats.mean > 99.5F && stats.mean < 100.5F);
      for (const float value : out) CHECK(value > 0.39F && value < 0.395F);
    }
  }
}
