#include "aravis_capture.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "clock.hpp"

namespace edge {
namespace {

constexpr uint64_t kPopUs = 5'000;  // also how soon a stop is noticed
constexpr int64_t kUtcWithin = kSecond;
constexpr int64_t kReportNs = 100 * kMillisecond;
constexpr int kThreadBegins = 0;  // ARV_STREAM_CALLBACK_TYPE_INIT
constexpr int kFixed = 0;         // ARV_GV_STREAM_SOCKET_BUFFER_FIXED

// ARV_BUFFER_STATUS_…
enum BufferStatus { kSuccess = 0, kSizeMismatch = 5, kAborted = 7 };

struct Format {
  uint32_t pfnc;  // GenICam pixel format naming convention
  PixelFormat ours;
  uint32_t channels;
};
constexpr Format kFormats[] = {
    {0x01080001, PixelFormat::MONO8, 1},
    {0x01080009, PixelFormat::BAYER_RG8, 1},
    {0x02180015, PixelFormat::BGR8, 3},
    {0x02200017, PixelFormat::BGRA8, 4},
};

const Format* format_of(uint32_t pfnc) {
  for (const Format& format : kFormats) {
    if (format.pfnc == pfnc) return &format;
  }
  return nullptr;
}

// UTC minus CLOCK_MONOTONIC.
int64_t utc_ahead_ns() {
  timespec utc;
  const int64_t before = now_ns();
  clock_gettime(CLOCK_REALTIME, &utc);
  return utc.tv_sec * kSecond + utc.tv_nsec - (before + now_ns()) / 2;
}

// The library enlarges its socket when the first frame is already coming: of that one packets were lost.
void widen_socket(uint16_t port, int bytes) {
  const int fds = static_cast<int>(std::min(sysconf(_SC_OPEN_MAX), 65536L));
  for (int fd = 0; fd < fds; ++fd) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) continue;
    if (address.sin_family != AF_INET || ntohs(address.sin_port) != port) continue;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }
}

int64_t thread_cpu_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * kSecond + t.tv_nsec;
}

}  // namespace

AravisCapture::AravisCapture(std::shared_ptr<Region> region, const CaptureSettings& settings)
    : region_(std::move(region)),
      settings_(settings),
      buffers_(region_->header().frame_slots, nullptr),
      out_(region_->header().frame_slots, false),
      expected_(settings.frame_timeout_ns, settings.trigger_lag_ns),
      exposure_ns_(settings.exposure_ns) {}

void AravisCapture::start(std::shared_ptr<AravisDevice> device) {
  stop();
  device_ = std::move(device);
  library_ = &device_->library();
  stream_ = library_->checked("stream", [&](GError** e) {
    return library_->arv_camera_create_stream(device_->camera(), &AravisCapture::in_stream_thread, this, e);
  });
  if (stream_ == nullptr) throw CoreError("stream: cannot be made");
  if (device_->is_gige()) {
    const auto retention_us = static_cast<unsigned>(settings_.retention_ns / 1000);
    library_->g_object_set(stream_, "socket-buffer", kFixed, "socket-buffer-size",
                           settings_.socket_buffer_bytes, "packet-resend", settings_.resend ? 1 : 0,
                           "frame-retention", retention_us, static_cast<char*>(nullptr));
    widen_socket(library_->arv_gv_stream_get_port(stream_), settings_.socket_buffer_bytes);
  }
  make_buffers();
  if (settings_.chunk_exposure) {
    chunks_ = library_->checked(
        "chunks", [&](GError** e) { return library_->arv_camera_create_chunk_parser(device_->camera(), e); });
  }
  ids_.emplace(!device_->is_gige());
  clock_ = DeviceClock();
  jumps_ = 0;
  expected_.forget_order();
  expected_.expire(now_ns());  // of the time without a camera
  silent_ = resent_ = 0;
  last_frame_ns_ = now_ns();
  last_exposed_ns_ = 0;
  stop_.store(false);
  lost_.store(false);
  refill();
  thread_ = std::thread([this] { body(); });
}

void AravisCapture::make_buffers() {
  for (uint64_t slot = 0; slot < buffers_.size(); ++slot) {
    if (buffers_[slot] != nullptr) continue;
    buffers_[slot] = library_->arv_buffer_new_full(region_->slot_bytes(), region_->pixels(slot),
                                                   reinterpret_cast<void*>(slot), nullptr);
  }
}

void AravisCapture::stop() {
  stop_.store(true);
  if (thread_.joinable()) thread_.join();
  if (stream_ == nullptr) return;
  library_->g_object_unref(stream_);  // ends its thread: from here on nobody writes into our slots
  stream_ = nullptr;
  if (chunks_ != nullptr) library_->g_object_unref(chunks_);
  chunks_ = nullptr;
  for (uint64_t slot = 0; slot < out_.size(); ++slot) {
    if (out_[slot]) give_back(slot);
  }
  for (void*& buffer : buffers_) {
    library_->g_object_unref(buffer);
    buffer = nullptr;
  }
  report();
  device_.reset();
}

void AravisCapture::in_stream_thread(void* self, int type, void*) {
  auto* capture = static_cast<AravisCapture*>(self);
  capture->driver_cpu_ns_.store(thread_cpu_ns(), std::memory_order_relaxed);
  if (type == kThreadBegins && capture->settings_.fifo_priority > 0) {
    set_fifo_priority(capture->settings_.fifo_priority);
  }
}

void AravisCapture::expect(const Trigger& trigger) {
  expected_.add(trigger, [&] { region_->push_trigger(trigger); });
}

std::optional<CaptureLast> AravisCapture::last() {
  const std::lock_guard<std::mutex> lock(last_mutex_);
  return last_;
}

// The capture thread, top to bottom ---------------------------------------------------------------------

void AravisCapture::body() {
  if (settings_.fifo_priority > 0) set_fifo_priority(settings_.fifo_priority);
  while (!stop_.load(std::memory_order_acquire)) {
    void* const buffer = library_->arv_stream_timeout_pop_buffer(stream_, kPopUs);
    if (buffer != nullptr) take(buffer);
    refill();
    const int64_t now = now_ns();
    look_for_loss(now);
    if (now >= next_report_ns_) report();
  }
}

void AravisCapture::refill() {
  while (outstanding_ < settings_.buffers) {
    const auto slot = region_->try_claim();
    if (!slot) return;  // the loop needs them all: the driver counts what it cannot place
    out_[*slot] = true;
    ++outstanding_;
    library_->arv_stream_push_buffer(stream_, library_->g_object_ref(buffers_[*slot]));
  }
}

void AravisCapture::give_back(uint64_t slot) {
  out_[slot] = false;
  --outstanding_;
  region_->drop(slot);
}

void AravisCapture::take(void* buffer) {
  Frame frame{buffer,
              reinterpret_cast<uint64_t>(library_->arv_buffer_get_user_data(buffer)),
              library_->arv_buffer_get_frame_id(buffer),
              status_of(buffer),
              0,
              0};
  const int arv_status = library_->arv_buffer_get_status(buffer);
  library_->g_object_unref(buffer);  // the stream's; ours stays
  if (arv_status == kAborted) return give_back(frame.slot);
  const int64_t arrival_ns = now_ns();
  const FrameIds::Step step = ids_->next(frame.id);
  if (step.old) {  // never a stale frame taken for new
    stale_.fetch_add(1, std::memory_order_relaxed);
    return give_back(frame.slot);
  }
  last_frame_ns_ = arrival_ns;
  silent_ = 0;
  const bool whole = arv_status == kSuccess;
  frame.exposure_ns = exposure_of(buffer);
  frame.exposed_ns = stamp(frame, whole, arrival_ns);
  account(step.missing, frame.exposed_ns);
  LineStatus& status = region_->status();
  status.camera_frames.fetch_add(1, std::memory_order_relaxed);
  if (!whole) status.camera_incomplete.fetch_add(1, std::memory_order_relaxed);
  FrameHeader header{};
  const auto trigger = part_of(frame, step.missing, arrival_ns);
  if (!trigger) {
    unmatched_.fetch_add(1, std::memory_order_relaxed);
    status.camera_unmatched.fetch_add(1, std::memory_order_relaxed);
    return give_back(frame.slot);
  }
  header.trigger_id = trigger->trigger_id;
  header.encoder_count = trigger->encoder_count;
  header_of(frame, header);
  {
    const std::lock_guard<std::mutex> lock(last_mutex_);
    last_ = {frame.slot,       frame.id,          trigger->trigger_id, region_->pixels(frame.slot),
             frame.exposed_ns, frame.exposure_ns, header.status};
  }
  out_[frame.slot] = false;
  --outstanding_;
  region_->publish(frame.slot, header);
  if (whole) delay_.add(now_ns() - (frame.exposed_ns - frame.exposure_ns));
}

FrameStatus AravisCapture::status_of(void* buffer) const {
  switch (library_->arv_buffer_get_status(buffer)) {
    case kSuccess:
      return FrameStatus::OK;
    case kSizeMismatch:
      return FrameStatus::OVERSIZE;
    default:
      return FrameStatus::INCOMPLETE;
  }
}

// How long this frame was exposed: its own word where it has one, else what the camera was told.
int64_t AravisCapture::exposure_of(void* buffer) const {
  const int64_t told_ns = exposure_ns_.load(std::memory_order_relaxed);
  if (chunks_ == nullptr || library_->arv_buffer_has_chunks(buffer) == 0) return told_ns;
  GError* error = nullptr;
  const double us = library_->arv_chunk_parser_get_float_value(chunks_, buffer, "ChunkExposureTime", &error);
  if (error == nullptr) return static_cast<int64_t>(us * 1000);
  library_->g_error_free(error);
  return told_ns;
}

// End of exposure on our clock. The stamp comes with the first packet, which an incomplete frame may lack.
int64_t AravisCapture::stamp(const Frame& frame, bool whole, int64_t arrival_ns) {
  if (!whole) return arrival_ns;
  const auto device_ns = static_cast<int64_t>(library_->arv_buffer_get_timestamp(frame.buffer));
  int64_t mapped_ns = clock_.add(device_ns, arrival_ns);
  if (settings_.utc_stamps) {
    const int64_t on_ours_ns = device_ns - utc_ahead_ns();
    // A camera that is not (yet) disciplined is not believed.
    if (std::abs(arrival_ns - on_ours_ns) < kUtcWithin) mapped_ns = on_ours_ns;
  }
  return std::min(mapped_ns + frame.exposure_ns, arrival_ns);
}

// Frames whose ids were skipped. Without a part sensor the frame that follows is the first to tell of their
// parts.
void AravisCapture::account(uint64_t missing, int64_t exposed_ns) {
  LineStatus& status = region_->status();
  if (settings_.part_sensor) return;
  const int64_t gap_ns = exposed_ns - last_exposed_ns_;
  for (uint64_t i = 1; i <= missing; ++i) {
    const auto share = static_cast<double>(i) / static_cast<double>(missing + 1);
    announce(last_exposed_ns_ + static_cast<int64_t>(share * static_cast<double>(gap_ns)));
    status.camera_lost.fetch_add(1, std::memory_order_relaxed);
  }
  last_exposed_ns_ = exposed_ns;
}

std::optional<Trigger> AravisCapture::part_of(const Frame& frame, uint64_t missing, int64_t arrival_ns) {
  if (!settings_.part_sensor) return announce(frame.exposed_ns);
  LineStatus& status = region_->status();
  std::optional<int64_t> exposed_ns;
  if (frame.status != FrameStatus::INCOMPLETE) exposed_ns = frame.exposed_ns - frame.exposure_ns;
  const auto trigger = expected_.match(exposed_ns, missing);
  expected_.expire(arrival_ns);
  const uint64_t noticed = expected_.noticed();
  status.camera_lost.fetch_add(static_cast<int64_t>(noticed), std::memory_order_relaxed);
  if (missing > noticed + silent_) {
    status.camera_lost_unnoticed.fetch_add(static_cast<int64_t>(missing - noticed - silent_),
                                           std::memory_order_relaxed);
  }
  return trigger;
}

Trigger AravisCapture::announce(int64_t stamp_ns) {
  const Trigger trigger{
      static_cast<uint64_t>(region_->status().last_trigger_id.load(std::memory_order_relaxed)) + 1,
      static_cast<int64_t>(static_cast<double>(stamp_ns - settings_.belt_start_ns) * settings_.counts_per_ns),
      stamp_ns};
  region_->push_trigger(trigger);
  return trigger;
}

bool AravisCapture::header_of(const Frame& frame, FrameHeader& header) {
  header.frame_id = frame.id;
  header.exposure_end_ns = frame.exposed_ns;
  header.status = frame.status;
  header.pixel_format = PixelFormat::MONO8;
  if (frame.status != FrameStatus::OK) return false;
  const Format* const format = format_of(library_->arv_buffer_get_image_pixel_format(frame.buffer));
  size_t bytes = 0;
  const void* const data = library_->arv_buffer_get_image_data(frame.buffer, &bytes);
  int x_padding = 0, y_padding = 0;
  library_->arv_buffer_get_image_padding(frame.buffer, &x_padding, &y_padding);
  if (format == nullptr || data == nullptr) {
    header.status = FrameStatus::CORRUPT;
    return false;
  }
  header.pixel_format = format->ours;
  header.width = static_cast<uint32_t>(library_->arv_buffer_get_image_width(frame.buffer));
  header.height = static_cast<uint32_t>(library_->arv_buffer_get_image_height(frame.buffer));
  header.stride = header.width * format->channels + static_cast<uint32_t>(x_padding);
  if (static_cast<uint64_t>(header.stride) * header.height >
      std::min<uint64_t>(bytes, region_->slot_bytes())) {
    header.status = FrameStatus::CORRUPT;
    return false;
  }
  if (data != region_->pixels(frame.slot)) {  // a payload that does not begin with the picture
    std::memmove(region_->pixels(frame.slot), data, bytes);
    region_->status().camera_copies.fetch_add(1, std::memory_order_relaxed);
  }
  return true;
}

void AravisCapture::look_for_loss(int64_t now) {
  if (outstanding_ == 0) last_frame_ns_ = now;  // we give it no slots: not the camera's silence
  if (settings_.part_sensor) {
    silent_ += expected_.expire(now);
    region_->status().camera_lost.fetch_add(static_cast<int64_t>(expected_.noticed()),
                                            std::memory_order_relaxed);
    if (silent_ >= settings_.lost_after) lost_.store(true, std::memory_order_release);
  } else if (settings_.silence_ns > 0 && now - last_frame_ns_ > settings_.silence_ns) {
    lost_.store(true, std::memory_order_release);
  }
}

void AravisCapture::report() {
  next_report_ns_ = now_ns() + kReportNs;
  cpu_ns_.store(thread_cpu_ns(), std::memory_order_relaxed);
  LineStatus& status = region_->status();
  status.camera_delay_p50_ns.store(delay_.quantile(0.5), std::memory_order_relaxed);
  status.camera_delay_p99_ns.store(delay_.quantile(0.99), std::memory_order_relaxed);
  status.camera_clock_jumps.fetch_add(clock_.jumps() - jumps_, std::memory_order_relaxed);
  jumps_ = clock_.jumps();
  if (clock_.settled()) {
    status.camera_drift_ppb.store(static_cast<int64_t>(clock_.drift() * 1e9), std::memory_order_relaxed);
  }
  if (stream_ == nullptr || !device_->is_gige()) return;
  uint64_t done = 0, failed = 0, underruns = 0, resent = 0, missing = 0;
  library_->arv_stream_get_statistics(stream_, &done, &failed, &underruns);
  underruns_.store(static_cast<int64_t>(underruns), std::memory_order_relaxed);
  library_->arv_gv_stream_get_statistics(stream_, &resent, &missing);
  status.camera_resent.fetch_add(static_cast<int64_t>(resent - resent_), std::memory_order_relaxed);
  resent_ = resent;
}

}  // namespace edge
