// Numbers that the PLC, the ring file and recordings see. Never renumber; append only.
#pragma once

#include <cstdint>

namespace edge {

enum class Verdict : uint8_t { NONE = 0, PASS = 1, REJECT = 2, NO_PART = 3 };

enum class Reason : uint8_t {
  NONE = 0,
  DEFECT = 1,
  UNCERTAIN = 2,
  NO_TIME = 3,
  OVERRUN = 4,
  FRAME_LOST = 5,
  FRAME_TORN = 6,
  FRAME_CORRUPT = 7,
  FRAME_OVERSIZE = 8,
  FRAME_STALE = 9,
  UNDEREXPOSED = 10,
  OVEREXPOSED = 11,
  ENGINE = 12,
  NO_VERDICT = 13,
  PLC_SILENT = 14,
  BLURRED = 15,
  SPEED = 16,
  TRACKING = 17,
};

enum class Route : uint8_t { NONE = 0, GATE = 1, CLASSIFIER = 2 };

enum class PlcResult : uint8_t {
  PENDING = 0,
  ACKED = 1,
  LATE = 2,
  TIMEOUT = 3,
  REFUSED = 4,
  DISCONNECTED = 5,
  SUPERSEDED = 6,
};

enum class LoopState : int64_t { STARTING = 0, READY = 1, FAULT = 2, STOPPED = 3, HELD = 4 };

// What becomes of the records of the ring.
enum class JournalState : int64_t { NONE = 0, WRITTEN = 1, PAUSED = 2 };

// What the decision rules want of a part in which a defect was found.
enum class Action : uint8_t { NONE = 0, PASS = 1, REJECT = 2, REWORK = 3, HOLD_LINE = 4 };

}  // namespace edge
