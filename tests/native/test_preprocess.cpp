#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "allocations.hpp"
#include "check.hpp"
#include "error.hpp"
#include "preprocess.hpp"

using namespace edge;

namespace {

int64_t samples(PixelFormat format) {
  if (format == PixelFormat::BGR8) return 3;
  return format == PixelFormat::BGRA8 ? 4 : 1;
}

std::size_t bytes_of(const Geometry& g) {
  return static_cast<std::size_t>(g.stride * (g.height - 1) + g.width * samples(g.format));
}

// Pixels that end where the readable memory ends: one byte read too far is a crash, without a sanitizer too.
class Guarded {
 public:
  explicit Guarded(std::size_t bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t room = (bytes + page - 1) / page * page;
    size_ = room + page;
    base_ = static_cast<uint8_t*>(
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + room, page, PROT_NONE) != 0)
      throw CoreError("no guarded memory");
    pixels = base_ + room - bytes;
  }
  ~Guarded() { munmap(base_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  uint8_t* pixels;

 private:
  uint8_t* base_;
  std::size_t size_;
};

PreprocessSettings settings(int width, int height, bool area) {
  PreprocessSettings s;
  s.out_width = width;
  s.out_height = height;
  s.area = area;
  return s;
}

bool refuses(const PreprocessSettings& s) {
  try {
    const Preprocess refused(s);
  } catch (const CoreError&) {
    return true;
  }
  return false;
}

}  // namespace

TEST(every_geometry_stays_inside_its_buffers) {
  std::mt19937 random(3);
  const auto draw = [&](int from, int to) { return std::uniform_int_distribution<int>(from, to)(random); };
  for (int turn = 0; turn < 1500; ++turn) {
    const auto format = static_cast<PixelFormat>(1 + turn % 4);
    const int least = format == PixelFormat::BAYER_RG8 ? 2 : 1;
    const int most = turn % 3 == 0 ? 12 : 220;
    Geometry g{draw(least, most), draw(least, most), 0, format};
    g.stride = g.width * samples(format) + draw(0, 3);
    PreprocessSettings s = settings(draw(1, 40), draw(1, 40), turn % 2 == 0);
    if (draw(0, 1) == 1) s.roi = {draw(-5, most), draw(-5, most), draw(1, most), draw(1, most)};
    s.channels = draw(0, 1) == 1 ? 3 : 1;
    s.element = draw(0, 1) == 1 ? Element::INT8 : Element::FLOAT32;
    Preprocess preprocess(s);
    if (!preprocess.check(g, bytes_of(g)).empty()) continue;  // roi outside
    const Guarded frame(bytes_of(g));
    std::memset(frame.pixels, 200, bytes_of(g));
    // A heap buffer of the exact size, for the address sanitizer.
    const auto out = std::make_unique<uint8_t[]>(preprocess.output_bytes());
    const FrameStats stats = preprocess.run(frame.pixels, g, out.get());
    CHECK(std::fabs(stats.mean - 200.0F) < 0.2F);
    if (s.element == Element::FLOAT32) {
      const auto* values = reinterpret_cast<const float*>(out.get());
      for (std::size_t i = 0; i < preprocess.elements(); ++i)
        CHECK(std::fabs(values[i] * 255.0F - 200.0F) < 0.2F);
    }
  }
}

TEST(white_stays_white_through_the_sixteen_bit_sums) {
  for (const int side : {1, 5, 13, 47, 224}) {
    for (const int64_t height : {1, 31, 224, 600}) {
      const Geometry g{301, height, 301, PixelFormat::MONO8};
      const std::vector<uint8_t> pixels(bytes_of(g), 255);
      Preprocess preprocess(settings(side, side, true));
      std::vector<float> out(preprocess.elements());
      const FrameStats stats = preprocess.run(pixels.data(), g, out.data());
      CHECK(stats.bright_share == 1.0F);
      for (const float value : out) CHECK(value > 0.999F && value < 1.001F);
    }
  }
}

TEST(a_copy_has_buffers_of_its_own) {
  const Geometry g{64, 48, 64, PixelFormat::BAYER_RG8};
  std::vector<uint8_t> pixels(bytes_of(g));
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37);
  Preprocess first(settings(16, 16, true));
  first.prepare(g);
  Preprocess second = first;
  std::vector<float> a(first.elements());
  std::vector<float> b(second.elements());
  first.run(pixels.data(), g, a.data());
  second.run(pixels.data(), g, b.data());
  CHECK(a == b);
}

TEST(a_prepared_geometry_allocates_nothing) {
  for (const auto format :
       {PixelFormat::MONO8, PixelFormat::BAYER_RG8, PixelFormat::BGR8, PixelFormat::BGRA8}) {
    for (const bool area : {false, true}) {
      const Geometry g{320, 200, 320 * samples(format), format};
      const Geometry smaller{240, 150, 240 * samples(format), format};
      const Geometry growing{50, 90, 50 * samples(format), format};
      const std::vector<uint8_t> pixels(bytes_of(g), 7);
      Preprocess preprocess(settings(64, 64, area));
      std::vector<float> out(preprocess.elements());
      preprocess.prepare(g);
      const std::size_t before = allocations();
      for (const Geometry& seen : {g, smaller, growing, g}) {
        CHECK(preprocess.check(seen, bytes_of(g)).empty());
        preprocess.run(pixels.data(), seen, out.data());
      }
      CHECK(allocations() == before);
    }
  }
}

TEST(check_says_what_is_wrong) {
  const Preprocess preprocess(settings(8, 8, true));
  const auto wrong = [&](const Geometry& g, std::size_t bytes) { return preprocess.check(g, bytes); };
  CHECK(wrong({10, 10, 10, PixelFormat::MONO8}, 100).empty());
  CHECK(wrong({10, 10, 10, PixelFormat::MONO8}, 99).find("99 bytes found, 100") != std::string::npos);
  CHECK(wrong({10, 10, 9, PixelFormat::MONO8}, 100).find("stride 9") != std::string::npos);
  CHECK(wrong({0, 10, 10, PixelFormat::MONO8}, 100).find("frame size 0 x 10") != std::string::npos);
  CHECK(wrong({10, 1, 10, PixelFormat::BAYER_RG8}, 100).find("frame size") != std::string::npos);
  CHECK(wrong({10, 10, INT64_MAX, PixelFormat::MONO8}, 100).find("stride") != std::string::npos);
  CHECK(wrong({10, 10, 10, static_cast<PixelFormat>(77)}, 100).find("77 is not known") != std::string::npos);
}

TEST(settings_are_refused) {
  PreprocessSettings s = settings(8, 8, true);
  s.std[1] = 0.0F;
  CHECK(refuses(s));
  s = settings(8, 8, true);
  s.mean[2] = std::nanf("");
  CHECK(refuses(s));
  s = settings(0, 8, true);
  CHECK(refuses(s));
  CHECK(!refuses(settings(8, 8, true)));
}
