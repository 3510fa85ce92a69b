// The one shared-memory region of a line: frame ring, triggers, verdicts, status, doorbells.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broadcast_ring.hpp"
#include "clock.hpp"
#include "enums.hpp"
#include "frame.hpp"
#include "mapped_file.hpp"
#include "status.hpp"

namespace edge {

struct Trigger {
  uint64_t trigger_id;
  int64_t encoder_count;
  int64_t stamp_ns;
};

struct VerdictEntry {
  uint64_t part_id;
  int64_t encoder_count;
  int64_t triggered_ns, received_ns, decided_ns, deadline_ns;
  uint64_t record_index;
  float confidence;
  Verdict verdict;
  Reason reason;
  Route route;
  uint8_t class_id;
  Action action;  // NONE: no rule was asked
  uint8_t bin;    // where a reject goes
};

struct FrameHeader {
  uint64_t frame_id;
  uint64_t trigger_id;
  int64_t encoder_count;
  int64_t exposure_end_ns;
  int64_t received_ns;
  uint32_t width, height, stride;
  PixelFormat pixel_format;
  FrameStatus status;
  uint32_t reserved;
};

enum class SlotState : uint32_t { FREE = 0, WRITING = 1, READY = 2, READING = 3 };

struct Slot {
  std::atomic<SlotState> state;
  uint32_t reserved;
  std::atomic<uint64_t>
      generation;  // moves on with every claim; a copy is whole if it did not move meanwhile
  FrameHeader header;
};

using TriggerRing = BroadcastRing<Trigger, 1024>;
using VerdictRing = BroadcastRing<VerdictEntry, 1024>;

struct RegionHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t header_bytes;  // sizeof(RegionHeader): a different build of the same version is found out
  uint32_t frame_slots;
  uint32_t reserved;
  uint64_t slot_bytes;
  uint64_t pixels_offset;
  std::atomic<uint64_t> claim_hint;    // where the search for a free slot begins: the oldest one
  Doorbell loop_bell;                  // triggers and frames
  Doorbell actuation_bell;             // triggers and verdicts
  std::atomic<uint64_t> write_cursor;  // frames published since the start
  std::atomic<uint64_t> read_cursor;   // frames that the loop has given back
  LineStatus status;
  TriggerRing triggers;
  VerdictRing verdicts;
};

struct FrameCopy {
  FrameHeader header;
  std::vector<uint8_t> pixels;
};

class Region {
 public:
  static std::shared_ptr<Region> create(const std::string& path, uint32_t frame_slots, uint64_t slot_bytes);
  static std::shared_ptr<Region> attach(const std::string& path);

  RegionHeader& header() { return *reinterpret_cast<RegionHeader*>(file_.data()); }
  LineStatus& status() { return header().status; }
  uint64_t slot_bytes() { return header().slot_bytes; }
  uint8_t* pixels(uint64_t index);
  uint64_t pixels_bytes();  // of all slots together, from pixels(0) on; whole pages
  Slot& slot(uint64_t index);

  // Camera side; one camera process writes. Several slots may be claimed at once (a driver fills them), and
  // the loop gets them in the order of publication, not of claims. Claims may come from any thread,
  // publications from one.
  void reclaim();  // a new camera process frees what an old one, now dead, had claimed
  std::optional<uint64_t> try_claim();
  std::optional<uint64_t> claim();                  // none: counted as a dropped frame
  void publish(uint64_t index, FrameHeader frame);  // stamps received_ns
  void drop(uint64_t index);
  void push_trigger(const Trigger& trigger);

  // Loop side.
  std::optional<uint64_t> take();  // READY → READING
  void release(uint64_t index);    // READING → FREE
  void discard_waiting();          // a new loop never judges the frames of an old one
  void push_verdict(const VerdictEntry& verdict);

  // Recorder side: a consistent copy, or nothing when the slot has been reused.
  std::optional<FrameCopy> copy_frame(uint64_t trigger_id);

 private:
  explicit Region(MappedFile file) : file_(std::move(file)) {}
  Slot* slots() { return reinterpret_cast<Slot*>(file_.data() + sizeof(RegionHeader)); }
  // Which slot was published as the n-th frame; as many places as slots.
  std::atomic<uint32_t>& order(uint64_t n) {
    auto* first = reinterpret_cast<std::atomic<uint32_t>*>(slots() + header().frame_slots);
    return first[n % header().frame_slots];
  }

  MappedFile file_;
};

}  // namespace edge
