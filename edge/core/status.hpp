// Counters and states that the processes of a line share: one atomic int64 each, one table for both
// languages.
#pragma once

#include <atomic>
#include <cstdint>

// Each name is documented in edge/_core.pyi, class LineStatus.
#define EDGE_STATUS_FIELDS(X) \
  X(stop)                     \
  X(end_of_stream)            \
  X(loop_state)               \
  X(loop_beat_ns)             \
  X(actuation_beat_ns)        \
  X(camera_beat_ns)           \
  X(camera_ready)             \
  X(actuation_ready)          \
  X(line_ready)               \
  X(plc_connected)            \
  X(plc_writes)               \
  X(plc_unconfirmed)          \
  X(plc_reconnects)           \
  X(plc_write_p50_ns)         \
  X(plc_write_p999_ns)        \
  X(plc_tail_doubts)          \
  X(speed_um_per_s)           \
  X(speed_stamp_ns)           \
  X(frames_published)         \
  X(frames_dropped)           \
  X(frames_orphaned)          \
  X(triggers_pushed)          \
  X(last_trigger_id)          \
  X(triggers_lost)            \
  X(parts_decided)            \
  X(parts_tracked)            \
  X(parts_ended)              \
  X(engine_faults)            \
  X(verdict_from_ns)          \
  X(verdict_until_ns)         \
  X(gate_p999_ns)             \
  X(classifier_p999_ns)       \
  X(speed_outside_table)      \
  X(holds_wanted)             \
  X(holds_released)           \
  X(recipe_wanted)            \
  X(recipe_active)            \
  X(recipe_refused)           \
  X(rollback_wanted)          \
  X(rolled_back)              \
  X(rollback_refused)         \
  X(camera_reconnects)        \
  X(camera_stale)             \
  X(camera_frames)            \
  X(camera_incomplete)        \
  X(camera_lost)              \
  X(camera_lost_unnoticed)    \
  X(camera_resent)            \
  X(camera_copies)            \
  X(camera_delay_p50_ns)      \
  X(camera_delay_p99_ns)      \
  X(camera_clock_jumps)       \
  X(camera_drift_ppb)         \
  X(camera_unmatched)         \
  X(camera_exposure_ns)       \
  X(camera_exposure_changes)  \
  X(light_frames)             \
  X(light_sum_milli)          \
  X(journal_state)            \
  X(journal_waiting)          \
  X(journal_lost)

namespace edge {

struct LineStatus {
#define EDGE_STATUS_DECLARE(name) std::atomic<int64_t> name{0};
  EDGE_STATUS_FIELDS(EDGE_STATUS_DECLARE)
#undef EDGE_STATUS_DECLARE
};

}  // namespace edge
