#include "region.hpp"

#include <cstring>
#include <new>

#include "error.hpp"

namespace edge {
namespace {

constexpr uint64_t kMagic = 0x45444745'52454731;  // "EDGEREG1"
constexpr uint32_t kVersion = 3;
constexpr uint64_t kPage = 4096;

uint64_t page_up(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

std::shared_ptr<Region> Region::create(const std::string& path, uint32_t frame_slots, uint64_t slot_bytes) {
  if (frame_slots < 2 || slot_bytes == 0)
    throw CoreError("a region needs at least 2 frame slots of at least 1 byte");
  const uint64_t pixels_offset =
      page_up(sizeof(RegionHeader) + frame_slots * (sizeof(Slot) + sizeof(std::atomic<uint32_t>)));
  const uint64_t stride = page_up(slot_bytes);
  std::shared_ptr<Region> region(new Region(MappedFile::create(path, pixels_offset + frame_slots * stride)));
  auto* header = new (region->file_.data()) RegionHeader{};
  header->version = kVersion;
  header->header_bytes = sizeof(RegionHeader);
  header->frame_slots = frame_slots;
  header->slot_bytes = slot_bytes;
  header->pixels_offset = pixels_offset;
  for (uint32_t i = 0; i < frame_slots; ++i) {
    new (region->slots() + i) Slot{};
    new (&region->order(i)) std::atomic<uint32_t>{0};
  }
  std::atomic_thread_fence(std::memory_order_release);
  header->magic = kMagic;
  return region;
}

std::shared_ptr<Region> Region::attach(const std::string& path) {
  std::shared_ptr<Region> region(new Region(MappedFile::attach(path, sizeof(RegionHeader))));
  const RegionHeader& header = region->header();
  if (header.magic != kMagic) throw CoreError(path + ": is not the shared region of a line");
  if (header.version != kVersion || header.header_bytes != sizeof(RegionHeader)) {
    throw CoreError(path + ": region version " + std::to_string(header.version) + " found, " +
                    std::to_string(kVersion) +
                    " expected. Stop the line, remove the file and start it again");
  }
  if (region->file_.bytes() < header.pixels_offset + header.frame_slots * page_up(header.slot_bytes)) {
    throw CoreError(path + ": truncated region. Stop the line, remove the file and start it again");
  }
  return region;
}

uint8_t* Region::pixels(uint64_t index) {
  const RegionHeader& h = header();
  return file_.data() + h.pixels_offset + (index % h.frame_slots) * page_up(h.slot_bytes);
}

uint64_t Region::pixels_bytes() { return header().frame_slots * page_up(header().slot_bytes); }

Slot& Region::slot(uint64_t index) { return slots()[index % header().frame_slots]; }

std::optional<uint64_t> Region::try_claim() {
  const uint32_t slots = header().frame_slots;
  const uint64_t first = header().claim_hint.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < slots; ++i) {
    const uint64_t index = (first + i) % slots;
    SlotState expected = SlotState::FREE;
    if (!slot(index).state.compare_exchange_strong(expected, SlotState::WRITING, std::memory_order_acquire,
                                                   std::memory_order_relaxed)) {
      continue;
    }
    slot(index).generation.fetch_add(1, std::memory_order_acq_rel);
    header().claim_hint.store(index + 1, std::memory_order_relaxed);
    return index;
  }
  return std::nullopt;
}

std::optional<uint64_t> Region::claim() {
  const auto index = try_claim();
  if (!index) status().frames_dropped.fetch_add(1, std::memory_order_relaxed);
  return index;
}

void Region::publish(uint64_t index, FrameHeader frame) {
  Slot& s = slot(index);
  frame.received_ns = now_ns();
  s.header = frame;
  s.state.store(SlotState::READY, std::memory_order_release);
  const uint64_t n = header().write_cursor.load(std::memory_order_relaxed);
  order(n).store(static_cast<uint32_t>(index), std::memory_order_relaxed);
  header().write_cursor.store(n + 1, std::memory_order_release);
  status().frames_published.fetch_add(1, std::memory_order_relaxed);
  header().loop_bell.ring();
}

void Region::drop(uint64_t index) { slot(index).state.store(SlotState::FREE, std::memory_order_release); }

void Region::reclaim() {
  std::vector<bool> waiting(header().frame_slots, false);
  const uint64_t end = header().write_cursor.load(std::memory_order_acquire);
  for (uint64_t n = header().read_cursor.load(std::memory_order_acquire); n < end; ++n) {
    waiting[order(n).load(std::memory_order_relaxed)] = true;
  }
  for (uint32_t i = 0; i < header().frame_slots; ++i) {
    const SlotState state = slot(i).state.load(std::memory_order_acquire);
    // READY but not in the queue: the camera died between the two.
    if (state == SlotState::WRITING || (state == SlotState::READY && !waiting[i])) drop(i);
  }
}

void Region::push_trigger(const Trigger& trigger) {
  header().triggers.push(trigger);
  status().last_trigger_id.store(static_cast<int64_t>(trigger.trigger_id), std::memory_order_relaxed);
  status().triggers_pushed.fetch_add(1, std::memory_order_release);
  header().loop_bell.ring();
  header().actuation_bell.ring();
}

std::optional<uint64_t> Region::take() {
  const uint64_t n = header().read_cursor.load(std::memory_order_relaxed);
  if (n == header().write_cursor.load(std::memory_order_acquire)) return std::nullopt;
  const uint64_t index = order(n).load(std::memory_order_relaxed);
  Slot& s = slot(index);
  if (s.state.load(std::memory_order_acquire) != SlotState::READY) return std::nullopt;  // taken already
  s.state.store(SlotState::READING, std::memory_order_relaxed);
  return index;
}

void Region::release(uint64_t index) {
  header().read_cursor.fetch_add(1, std::memory_order_release);
  slot(index).state.store(SlotState::FREE, std::memory_order_release);
}

void Region::discard_waiting() {
  const uint64_t end = header().write_cursor.load(std::memory_order_acquire);
  for (uint64_t n = header().read_cursor.load(std::memory_order_relaxed); n < end; ++n) {
    status().frames_orphaned.fetch_add(1, std::memory_order_relaxed);
    release(order(n).load(std::memory_order_relaxed));
  }
  for (uint32_t i = 0; i < header().frame_slots; ++i) {  // of a loop that died while it gave one back
    if (slot(i).state.load(std::memory_order_relaxed) == SlotState::READING) drop(i);
  }
}

void Region::push_verdict(const VerdictEntry& verdict) {
  header().verdicts.push(verdict);
  status().parts_decided.fetch_add(1, std::memory_order_release);
  header().actuation_bell.ring();
}

std::optional<FrameCopy> Region::copy_frame(uint64_t trigger_id) {
  for (uint32_t i = 0; i < header().frame_slots; ++i) {
    Slot& s = slot(i);
    const uint64_t generation = s.generation.load(std::memory_order_acquire);
    if (generation == 0 || s.state.load(std::memory_order_acquire) == SlotState::WRITING) continue;
    FrameCopy copy{s.header, {}};
    if (copy.header.trigger_id != trigger_id) continue;
    const uint64_t bytes = static_cast<uint64_t>(copy.header.stride) * copy.header.height;
    if (bytes > slot_bytes()) continue;
    copy.pixels.assign(pixels(i), pixels(i) + bytes);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (s.generation.load(std::memory_order_relaxed) == generation) return copy;
  }
  return std::nullopt;
}

}  // namespace edge
