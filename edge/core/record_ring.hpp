// Part records: fixed structs in a memory-mapped ring file that survives the processes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "enums.hpp"
#include "mapped_file.hpp"

namespace edge {

// Written once by the loop (or by actuation for a part that got no verdict). 0 in a time: that stage did not
// run.
struct InspectionHalf {
  uint64_t part_id, frame_id;
  int64_t encoder_count;
  int64_t triggered_ns, exposure_end_ns, received_ns, started_ns;
  int64_t gate_in_ns, gate_out_ns, classifier_in_ns, classifier_out_ns;
  int64_t decided_ns, deadline_ns, budget_ns;
  int32_t speed_um_per_s;
  Verdict verdict;
  Reason reason;
  Route route;
  uint8_t class_id;
  Verdict judged_verdict;  // what the engines said, before time had its say
  uint8_t judged_class_id, gate_class_id, frame_status;
  float confidence, gate_good, gate_defect, gate_empty, classifier_good, classifier_defect;
  float brightness_mean, dark_share, bright_share;
  uint32_t width, height;
  // What led to the verdict. Scores above are calibrated, these are as the engines gave them.
  float gate_raw_good, gate_raw_defect, gate_raw_empty, classifier_raw_good, classifier_raw_defect;
  float second_good;  // calibrated, of the second look; 0 in `looks` 0 or 1: there was none
  float limit_gate_good, limit_gate_defect, limit_gate_empty, limit_classifier_good, limit_retest_good;
  float sharpness;                           // -1: not measured
  float defect_size_mm, defect_x, defect_y;  // -1: unknown; position in shares of the part's box
  int64_t classifier_needs_ns,
      classifier_left_ns;  // asked before the last look: p99.9 with PLC, and what was left
  int32_t row_um_per_s;    // the row of the routing table
  uint8_t looks;           // of the classifier
  uint8_t frames;          // fused into this verdict
  Action action;           // NONE: no rule was asked
  uint8_t bin, rule;       // rule: number from 1; 0: none matched
  uint8_t recipe_earlier;  // 1: by what stood by for that recipe and has taken its place
  uint16_t recipe;         // by which it was judged
};

// Written once by actuation: what finally held for the part.
struct ActuationHalf {
  int64_t queued_ns, sent_ns, ack_ns;
  Verdict final_verdict;
  Reason final_reason;
  PlcResult plc_result;
  uint8_t reserved[5];
};

struct PartRecord {
  InspectionHalf inspection;
  ActuationHalf actuation;
};

uint32_t crc32(const void* data, size_t bytes);

class RecordRing {
 public:
  // Opens the ring file, or creates it with its whole size reserved. Throws CoreError: disk full, another
  // version, another capacity, truncated.
  static std::shared_ptr<RecordRing> create(const std::string& path, uint32_t capacity);
  static std::shared_ptr<RecordRing> attach(const std::string& path);

  uint64_t append(const InspectionHalf& half);
  void acknowledge(uint64_t index, const ActuationHalf& half);
  // The newest records that have an inspection half, for an actuation that follows a dead one: what it has
  // finished and what it left.
  struct Newest {
    uint64_t index, part_id;
    int64_t encoder_count, triggered_ns;
    bool finished;
  };
  std::vector<Newest> newest(uint64_t limit) const;
  uint64_t head() const;
  uint32_t capacity() const;
  // Wall clock at its creation, ns: tells a ring from the one before it at the same path.
  int64_t identity() const;

  class Reader {
   public:
    Reader(std::shared_ptr<RecordRing> ring, uint64_t cursor) : ring_(std::move(ring)), cursor_(cursor) {}
    // The next finished records, oldest first. An unfinished one holds the line for `patience_ns` after its
    // decision and is then handed out with PlcResult::PENDING: actuation died with it.
    // `indices`, if given, gets the index of each.
    std::vector<PartRecord> read(size_t limit, int64_t patience_ns, std::vector<uint64_t>* indices = nullptr);
    uint64_t lost() const { return lost_; }
    uint64_t cursor() const { return cursor_; }

   private:
    std::shared_ptr<RecordRing> ring_;
    uint64_t cursor_, lost_ = 0;
    int64_t waiting_since_ns_ = 0;
  };

 private:
  struct Header;
  struct Cell;
  explicit RecordRing(MappedFile file) : file_(std::move(file)) {}
  Header& header() const;
  Cell& cell(uint64_t index) const;

  MappedFile file_;
};

}  // namespace edge
