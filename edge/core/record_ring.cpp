#include "record_ring.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <new>

#include "clock.hpp"
#include "error.hpp"

namespace edge {
namespace {

constexpr uint64_t kMagic = 0x45444745'52494e47;  // "EDGERING"
constexpr uint32_t kVersion = 3;
constexpr uint32_t kInspected = 1, kActuated = 2;

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    table[i] = c;
  }
  return table;
}

}  // namespace

// CRC-32 of IEEE 802.3, the one of zlib.
uint32_t crc32(const void* data, size_t bytes) {
  static constexpr auto table = crc_table();
  const auto* p = static_cast<const uint8_t*>(data);
  uint32_t c = 0xFFFFFFFFu;
  for (size_t i = 0; i < bytes; ++i) c = table[(c ^ p[i]) & 0xFF] ^ (c >> 8);
  return c ^ 0xFFFFFFFFu;
}

struct RecordRing::Header {
  uint64_t magic;
  uint32_t version, record_bytes, capacity, reserved;
  int64_t identity;
  std::atomic<uint64_t> head;
};

struct RecordRing::Cell {
  std::atomic<uint64_t> index;  // index + 1 of the record that lives here; 0: none yet
  std::atomic<uint32_t> halves;
  uint32_t inspection_crc, actuation_crc, reserved;
  PartRecord record;
};

RecordRing::Header& RecordRing::header() const { return *reinterpret_cast<Header*>(file_.data()); }

RecordRing::Cell& RecordRing::cell(uint64_t index) const {
  return reinterpret_cast<Cell*>(file_.data() + sizeof(Header))[index % header().capacity];
}

uint64_t RecordRing::head() const { return header().head.load(std::memory_order_acquire); }
uint32_t RecordRing::capacity() const { return header().capacity; }
int64_t RecordRing::identity() const { return header().identity; }

std::shared_ptr<RecordRing> RecordRing::create(const std::string& path, uint32_t capacity) {
  if (capacity == 0) throw CoreError(path + ": a ring file needs room for at least one record");
  struct stat info{};
  if (stat(path.c_str(), &info) == 0) {
    auto ring = attach(path);
    if (ring->capacity() != capacity) {
      throw CoreError(path + ": ring file for " + std::to_string(ring->capacity()) + " records found, " +
                      std::to_string(capacity) + " expected. Move it aside, or change records.capacity back");
    }
    return ring;
  }
  std::shared_ptr<RecordRing> ring(
      new RecordRing(MappedFile::create(path, sizeof(Header) + capacity * sizeof(Cell))));
  auto* header = new (ring->file_.data()) Header{};
  header->version = kVersion;
  header->record_bytes = sizeof(Cell);
  header->capacity = capacity;
  timespec wall{};
  clock_gettime(CLOCK_REALTIME, &wall);
  header->identity = wall.tv_sec * kSecond + wall.tv_nsec;
  header->magic = kMagic;
  return ring;
}

std::shared_ptr<RecordRing> RecordRing::attach(const std::string& path) {
  std::shared_ptr<RecordRing> ring(new RecordRing(MappedFile::attach(path, sizeof(Header))));
  const Header& h = ring->header();
  if (h.magic != kMagic)
    throw CoreError(path + ": is not a ring file of part records. Move it aside and start again");
  if (h.version != kVersion || h.record_bytes != sizeof(Cell) || h.capacity == 0) {
    throw CoreError(path + ": ring file of version " + std::to_string(h.version) + " (" +
                    std::to_string(h.record_bytes) + "-byte records) found, version " +
                    std::to_string(kVersion) + " (" + std::to_string(sizeof(Cell)) +
                    ") expected. Move it aside and start again");
  }
  if (ring->file_.bytes() < sizeof(Header) + h.capacity * sizeof(Cell)) {
    throw CoreError(path + ": truncated ring file. Move it aside and start again");
  }
  return ring;
}

uint64_t RecordRing::append(const InspectionHalf& half) {
  const uint64_t index = header().head.fetch_add(1, std::memory_order_acq_rel);
  Cell& c = cell(index);
  c.halves.store(0, std::memory_order_release);
  c.index.store(index + 1, std::memory_order_release);
  c.record = PartRecord{half, {}};
  c.inspection_crc = crc32(&c.record.inspection, sizeof(InspectionHalf));
  c.halves.fetch_or(kInspected, std::memory_order_release);
  return index;
}

void RecordRing::acknowledge(uint64_t index, const ActuationHalf& half) {
  Cell& c = cell(index);
  if (c.index.load(std::memory_order_acquire) != index + 1)
    return;  // overwritten; its reader counts it as lost
  c.record.actuation = half;
  c.actuation_crc = crc32(&c.record.actuation, sizeof(ActuationHalf));
  c.halves.fetch_or(kActuated, std::memory_order_release);
}

std::vector<RecordRing::Newest> RecordRing::newest(uint64_t limit) const {
  std::vector<Newest> found;
  const uint64_t end = head(), room = std::min<uint64_t>(limit, capacity());
  for (uint64_t index = end > room ? end - room : 0; index < end; ++index) {
    const Cell& c = cell(index);
    if (c.index.load(std::memory_order_acquire) != index + 1) continue;
    const uint32_t halves = c.halves.load(std::memory_order_acquire);
    if ((halves & kInspected) == 0) continue;
    const InspectionHalf& part = c.record.inspection;
    found.push_back({index, part.part_id, part.encoder_count, part.triggered_ns, (halves & kActuated) != 0});
  }
  return found;
}

std::vector<PartRecord> RecordRing::Reader::read(size_t limit, int64_t patience_ns,
                                                 std::vector<uint64_t>* indices) {
  std::vector<PartRecord> records;
  while (records.size() < limit) {
    const uint64_t head = ring_->head();
    if (cursor_ >= head) break;
    if (head - cursor_ > ring_->capacity()) {
      lost_ += head - ring_->capacity() - cursor_;
      cursor_ = head - ring_->capacity();
    }
    Cell& c = ring_->cell(cursor_);
    const uint32_t halves = c.halves.load(std::memory_order_acquire);
    if (halves != (kInspected | kActuated)) {
      const int64_t now = now_ns();
      if (waiting_since_ns_ == 0) waiting_since_ns_ = now;
      // A row of parts that died together is waited for together, from the decision of each.
      const bool decided = (halves & kInspected) != 0;
      const int64_t since = decided ? c.record.inspection.decided_ns : waiting_since_ns_;
      if (now - since < patience_ns) break;
    }
    waiting_since_ns_ = 0;
    PartRecord record = c.record;
    if ((halves & kActuated) == 0) record.actuation = ActuationHalf{};
    const bool whole =
        (halves & kInspected) != 0 && c.inspection_crc == crc32(&record.inspection, sizeof(InspectionHalf)) &&
        ((halves & kActuated) == 0 || c.actuation_crc == crc32(&record.actuation, sizeof(ActuationHalf))) &&
        c.index.load(std::memory_order_acquire) == cursor_ + 1;
    if (whole && indices != nullptr) indices->push_back(cursor_);
    cursor_++;
    if (whole) {
      records.push_back(record);
    } else {
      lost_++;
    }
  }
  return records;
}

}  // namespace edge
