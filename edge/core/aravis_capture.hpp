// Frames of an Aravis camera into the frame ring: the driver writes into our slots, a native thread publishes
// them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "aravis_device.hpp"
#include "device_clock.hpp"
#include "expected_frames.hpp"
#include "frame_ids.hpp"
#include "histogram.hpp"
#include "region.hpp"

namespace edge {

struct CaptureSettings {
  bool part_sensor = false;  // triggers come by expect(); else every frame is a part and announced here
  uint32_t buffers = 8;      // slots that the driver holds to fill
  int64_t frame_timeout_ns = 100 * kMillisecond;
  uint32_t lost_after = 3;   // frames that did not come in a row: the camera is gone
  int64_t silence_ns = 0;    // free run: so long without a frame: the camera is gone; 0: never
  double counts_per_ns = 0;  // of the belt, for parts that are announced here
  int64_t belt_start_ns = 0;
  bool utc_stamps = false;  // the camera's clock is that of this machine (PTP); else only its pace is known
  int64_t trigger_lag_ns = 15 * kMillisecond;  // longest time from the part sensor to the exposure
  int64_t exposure_ns = 0;                     // stamps are the begin of the exposure
  bool chunk_exposure = false;                 // frames bring their own, as chunk ExposureTime
  int socket_buffer_bytes = 4 << 20;
  bool resend = true;
  int64_t retention_ns = 20 * kMillisecond;  // an incomplete frame is given up after so long without a packet
  int fifo_priority = 0;
};

struct CaptureLast {
  uint64_t slot, frame_id, trigger_id;
  const void* address;
  int64_t exposed_ns, exposure_ns;
  FrameStatus status;
};

class AravisCapture {
 public:
  AravisCapture(std::shared_ptr<Region> region, const CaptureSettings& settings);
  ~AravisCapture() { stop(); }

  // Hands slots to a stream of the device and starts the thread; the device does not run yet. Throws
  // CoreError.
  void start(std::shared_ptr<AravisDevice> device);
  // Ends thread and stream without asking the camera anything; no frame is published after it.
  void stop();

  // The part sensor fired: pushes the trigger and waits for its frame.
  void expect(const Trigger& trigger);

  // Auto-exposure has changed it; frames from here on end so long after their stamp.
  void set_exposure_ns(int64_t value) { exposure_ns_.store(value, std::memory_order_relaxed); }

  bool lost() const { return lost_.load(std::memory_order_acquire); }
  int64_t stale() const { return stale_.load(std::memory_order_relaxed); }
  int64_t unmatched() const { return unmatched_.load(std::memory_order_relaxed); }
  int64_t cpu_ns() const { return cpu_ns_.load(std::memory_order_relaxed); }
  int64_t driver_cpu_ns() const { return driver_cpu_ns_.load(std::memory_order_relaxed); }
  int64_t underruns() const { return underruns_.load(std::memory_order_relaxed); }
  std::optional<CaptureLast> last();

 private:
  struct Frame {
    void* buffer;
    uint64_t slot, id;
    FrameStatus status;
    int64_t exposure_ns, exposed_ns;
  };

  static void in_stream_thread(void* self, int type, void* buffer);
  void make_buffers();
  void body();
  void refill();
  void take(void* buffer);
  FrameStatus status_of(void* buffer) const;
  int64_t exposure_of(void* buffer) const;
  int64_t stamp(const Frame& frame, bool whole, int64_t arrival_ns);
  std::optional<Trigger> part_of(const Frame& frame, uint64_t missing, int64_t arrival_ns);
  Trigger announce(int64_t stamp_ns);
  void account(uint64_t missing, int64_t exposed_ns);
  bool header_of(const Frame& frame, FrameHeader& header);
  void give_back(uint64_t slot);
  void look_for_loss(int64_t now);
  void report();

  const std::shared_ptr<Region> region_;
  const CaptureSettings settings_;
  std::shared_ptr<AravisDevice> device_;
  const AravisLibrary* library_ = nullptr;
  void* stream_ = nullptr;
  void* chunks_ = nullptr;      // parser
  std::vector<void*> buffers_;  // one per slot, ours
  std::vector<bool> out_;       // which of them the stream holds
  uint32_t outstanding_ = 0;

  ExpectedFrames expected_;
  DeviceClock clock_;
  Histogram delay_;
  std::optional<FrameIds> ids_;
  int64_t last_exposed_ns_ = 0, last_frame_ns_ = 0, next_report_ns_ = 0;
  uint64_t silent_ = 0;  // expected frames that did not come, since the last that did
  uint64_t resent_ = 0;
  int64_t jumps_ = 0;

  std::thread thread_;
  std::atomic<int64_t> exposure_ns_;
  std::atomic<bool> stop_{false}, lost_{false};
  std::atomic<int64_t> stale_{0}, unmatched_{0}, cpu_ns_{0}, driver_cpu_ns_{0}, underruns_{0};
  std::mutex last_mutex_;
  std::optional<CaptureLast> last_;
};

}  // namespace edge
