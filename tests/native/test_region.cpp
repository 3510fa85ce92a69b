#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "check.hpp"
#include "error.hpp"
#include "line_files.hpp"
#include "record_ring.hpp"
#include "region.hpp"

using namespace edge;

namespace {

InspectionHalf part(uint64_t id) {
  InspectionHalf half{};
  half.part_id = id;
  half.decided_ns = now_ns();
  return half;
}

}  // namespace

TEST(readers_of_a_ring_beside_its_writer_see_every_entry_in_order) {
  const LineFiles files("broadcast");
  auto region = Region::create(files.region(), 2, 64);
  constexpr uint64_t kEntries = 1000;  // fits the ring: nothing may be lost
  std::atomic<int> failures{0};
  const auto read = [&] {
    auto attached = Region::attach(files.region());
    TriggerRing::Reader reader(attached->header().triggers, 0);
    Trigger t;
    for (uint64_t next = 0; next < kEntries;) {
      if (!reader.read(t)) {
        std::this_thread::yield();
        continue;
      }
      if (t.trigger_id != next || t.stamp_ns != static_cast<int64_t>(3 * next)) failures++;
      next++;
    }
    if (reader.lost() != 0) failures++;
  };
  std::thread first(read), second(read);
  for (uint64_t i = 0; i < kEntries; ++i) region->push_trigger({i, 0, static_cast<int64_t>(3 * i)});
  first.join();
  second.join();
  CHECK(failures == 0);
}

TEST(slots_claimed_together_reach_the_loop_in_the_order_of_their_publication) {
  const LineFiles files("order");
  auto region = Region::create(files.region(), 4, 64);
  const auto publish = [&](uint64_t index, uint64_t frame_id) {
    FrameHeader header{};
    header.frame_id = frame_id;
    region->publish(index, header);
  };
  const uint64_t a = *region->claim(), b = *region->claim(), c = *region->claim();
  publish(c, 1);
  region->drop(b);
  publish(a, 2);
  for (const uint64_t expected : {1, 2}) {
    const auto index = region->take();
    CHECK(index.has_value() && region->slot(*index).header.frame_id == expected);
    CHECK(!region->take());  // one at a time
    region->release(*index);
  }
  CHECK(!region->take());
  for (int i = 0; i < 4; ++i) CHECK(region->claim().has_value());
  CHECK(!region->claim() && region->status().frames_dropped == 1);
  region->reclaim();  // their camera process has died
  CHECK(region->claim().has_value());
}

TEST(frames_of_a_driver_that_holds_slots_are_each_read_once_and_whole) {
  const LineFiles files("driver");
  auto region = Region::create(files.region(), 8, 64);
  constexpr uint64_t kFrames = 20'000;
  std::atomic<bool> torn{false};
  std::thread loop([&] {
    auto attached = Region::attach(files.region());
    for (uint64_t next = 0; next < kFrames;) {
      const auto index = attached->take();
      if (!index) {
        std::this_thread::yield();
        continue;
      }
      const FrameHeader header = attached->slot(*index).header;
      const uint8_t* pixels = attached->pixels(*index);
      for (int i = 0; i < 64; ++i) torn = torn || pixels[i] != static_cast<uint8_t>(header.frame_id);
      torn = torn || header.frame_id != next++;
      attached->release(*index);
    }
  });
  std::vector<uint64_t> held;  // as a driver holds them: the youngest is filled first
  for (uint64_t id = 0; id < kFrames;) {
    while (held.size() < 3) {
      if (const auto index = region->claim()) held.push_back(*index);
      std::this_thread::yield();
    }
    FrameHeader header{};
    header.frame_id = id++;
    std::memset(region->pixels(held.back()), static_cast<uint8_t>(header.frame_id), 64);
    region->publish(held.back(), header);
    held.pop_back();
  }
  loop.join();
  CHECK(!torn);
}

TEST(a_reader_that_is_overrun_loses_entries_but_never_sees_a_torn_one) {
  auto ring = std::make_unique<BroadcastRing<Trigger, 8>>();
  std::atomic<bool> done{false};
  std::atomic<int> torn{0};
  std::thread reader([&] {
    BroadcastRing<Trigger, 8>::Reader r(*ring, 0);
    Trigger t;
    while (!done) {
      while (r.read(t)) {
        if (t.encoder_count != -static_cast<int64_t>(t.trigger_id) || t.stamp_ns != -t.encoder_count) torn++;
      }
    }
  });
  for (uint64_t i = 0; i < 200'000; ++i) ring->push({i, -static_cast<int64_t>(i), static_cast<int64_t>(i)});
  done = true;
  reader.join();
  CHECK(torn == 0);
}

TEST(the_doorbell_wakes_a_waiter_and_never_later_than_its_deadline) {
  Doorbell bell;
  const uint32_t seen = bell.count();
  std::thread ringer([&] { bell.ring(); });
  while (bell.count() == seen) bell.wait(seen, now_ns() + kSecond);
  ringer.join();
  const int64_t deadline = now_ns() + 2 * kMillisecond;
  bell.wait(bell.count(), deadline);
  CHECK(now_ns() >= deadline);
}

TEST(records_of_two_writers_each_arrive_once) {
  const LineFiles files("records");
  auto ring = RecordRing::create(files.ring(), 4096);
  RecordRing::Reader reader(ring, 0);
  const auto write = [&](uint64_t first) {
    auto attached = RecordRing::attach(files.ring());
    for (uint64_t i = 0; i < 1000; ++i) {
      attached->acknowledge(attached->append(part(first + i)),
                            {1, 2, 3, Verdict::PASS, Reason::NONE, PlcResult::ACKED, {}});
    }
  };
  std::thread a(write, 0), b(write, 1000);
  std::vector<int> seen(2000, 0);
  size_t got = 0;
  while (got < 2000) {
    for (const PartRecord& r : reader.read(64, kSecond)) {
      seen[r.inspection.part_id]++;
      got++;
    }
    std::this_thread::yield();
  }
  a.join();
  b.join();
  CHECK(reader.lost() == 0);
  for (const int count : seen) CHECK(count == 1);
}

TEST(an_unfinished_record_holds_the_line_only_for_its_patience) {
  const LineFiles files("patience");
  auto ring = RecordRing::create(files.ring(), 16);
  RecordRing::Reader reader(ring, 0);
  ring->append(part(1));
  const uint64_t second = ring->append(part(2));
  ring->acknowledge(second, {1, 2, 3, Verdict::PASS, Reason::NONE, PlcResult::ACKED, {}});
  CHECK(reader.read(16, 60 * kSecond).empty());
  sleep_until_ns(now_ns() + 2 * kMillisecond);
  const auto records = reader.read(16, kMillisecond);
  CHECK(records.size() == 2);
  CHECK(records[0].actuation.plc_result == PlcResult::PENDING);
  CHECK(records[1].actuation.plc_result == PlcResult::ACKED);
}

TEST(crc_is_that_of_zlib) { CHECK(crc32("123456789", 9) == 0xCBF43926u); }
