#include "aravis_device.hpp"

namespace edge {
namespace {

constexpr int kPacketSocketDisabled = 1;
constexpr int kNeverAdjust = 0;

std::string text_or_nothing(const char* text) { return text == nullptr ? "" : text; }

}  // namespace

std::vector<AravisFound> AravisDevice::list() {
  const AravisLibrary& a = AravisLibrary::load();
  a.arv_update_device_list();
  std::vector<AravisFound> found;
  for (unsigned i = 0; i < a.arv_get_n_devices(); ++i) {
    found.push_back({text_or_nothing(a.arv_get_device_id(i)), text_or_nothing(a.arv_get_device_address(i)),
                     text_or_nothing(a.arv_get_device_vendor(i)), text_or_nothing(a.arv_get_device_model(i)),
                     text_or_nothing(a.arv_get_device_serial_nbr(i)),
                     text_or_nothing(a.arv_get_device_protocol(i))});
  }
  return found;
}

std::shared_ptr<AravisDevice> AravisDevice::open(const std::string& id) {
  const AravisLibrary& a = AravisLibrary::load();
  void* const camera =
      a.checked("cannot be opened", [&](GError** e) { return a.arv_camera_new(id.c_str(), e); });
  if (camera == nullptr) throw CoreError("cannot be opened: it does not answer");
  return std::shared_ptr<AravisDevice>(new AravisDevice(a, camera));
}

std::shared_ptr<AravisDevice> AravisDevice::open_at(const std::string& interface_ip,
                                                    const std::string& device_ip) {
  const AravisLibrary& a = AravisLibrary::load();
  const auto address = [&](const std::string& ip) {
    void* const made = a.g_inet_address_new_from_string(ip.c_str());
    if (made == nullptr) throw CoreError(ip + ": is not an IP address");
    return std::shared_ptr<void>(made, a.g_object_unref);
  };
  const auto interface = address(interface_ip), remote = address(device_ip);
  const std::shared_ptr<void> device(
      a.checked("cannot be opened",
                [&](GError** e) { return a.arv_gv_device_new(interface.get(), remote.get(), e); }),
      [&a](void* p) {
        if (p != nullptr) a.g_object_unref(p);
      });
  if (device == nullptr) throw CoreError("cannot be opened: it does not answer");
  void* const camera = a.checked("cannot be opened",
                                 [&](GError** e) { return a.arv_camera_new_with_device(device.get(), e); });
  return std::shared_ptr<AravisDevice>(new AravisDevice(a, camera));
}

AravisDevice::AravisDevice(const AravisLibrary& library, void* camera)
    : library_(library), camera_(camera), gige_(library.arv_camera_is_gv_device(camera) != 0) {}

void AravisDevice::close() {
  if (camera_ != nullptr) library_.g_object_unref(camera_);
  camera_ = nullptr;
}

bool AravisDevice::in_control() const {
  if (!gige_ || camera_ == nullptr) return camera_ != nullptr;
  return library_.arv_gv_device_is_controller(library_.arv_camera_get_device(camera_)) != 0;
}

std::string AravisDevice::ip(void* socket_address) const {
  if (socket_address == nullptr) return "";
  char* const text =
      library_.g_inet_address_to_string(library_.g_inet_socket_address_get_address(socket_address));
  std::string copy = text_or_nothing(text);
  library_.g_free(text);
  return copy;
}

std::string AravisDevice::interface_ip() const {
  if (!gige_) return "";
  return ip(library_.arv_gv_device_get_interface_address(library_.arv_camera_get_device(camera_)));
}

std::string AravisDevice::device_ip() const {
  if (!gige_) return "";
  return ip(library_.arv_gv_device_get_device_address(library_.arv_camera_get_device(camera_)));
}

bool AravisDevice::is_loopback() const {
  if (!gige_) return false;
  void* const address = library_.arv_gv_device_get_interface_address(library_.arv_camera_get_device(camera_));
  return library_.g_inet_address_get_is_loopback(library_.g_inet_socket_address_get_address(address)) != 0;
}

bool AravisDevice::has(const std::string& feature) const {
  return library_.checked(feature, [&](GError** e) {
    return library_.arv_camera_is_feature_available(camera_, feature.c_str(), e);
  }) != 0;
}

std::string AravisDevice::text(const std::string& feature) const {
  return text_or_nothing(library_.checked(
      feature, [&](GError** e) { return library_.arv_camera_get_string(camera_, feature.c_str(), e); }));
}

void AravisDevice::set_text(const std::string& feature, const std::string& value) {
  library_.checked(feature, [&](GError** e) {
    library_.arv_camera_set_string(camera_, feature.c_str(), value.c_str(), e);
  });
}

int64_t AravisDevice::integer(const std::string& feature) const {
  return library_.checked(
      feature, [&](GError** e) { return library_.arv_camera_get_integer(camera_, feature.c_str(), e); });
}

void AravisDevice::set_integer(const std::string& feature, int64_t value) {
  library_.checked(feature,
                   [&](GError** e) { library_.arv_camera_set_integer(camera_, feature.c_str(), value, e); });
}

AravisDevice::Steps AravisDevice::steps(const std::string& feature) const {
  Steps steps{0, 0, 1};
  library_.checked(feature, [&](GError** e) {
    library_.arv_camera_get_integer_bounds(camera_, feature.c_str(), &steps.lowest, &steps.highest, e);
  });
  steps.step = library_.checked(feature, [&](GError** e) {
    return library_.arv_camera_get_integer_increment(camera_, feature.c_str(), e);
  });
  return steps;
}

std::vector<std::string> AravisDevice::choices(const std::string& feature) const {
  unsigned count = 0;
  const char** const names = library_.checked(feature, [&](GError** e) {
    return library_.arv_camera_dup_available_enumerations_as_strings(camera_, feature.c_str(), &count, e);
  });
  std::vector<std::string> all(names, names + count);
  library_.g_free(names);
  return all;
}

std::pair<double, double> AravisDevice::exposure_bounds_us() const {
  std::pair<double, double> bounds{0, 0};
  library_.checked("exposure", [&](GError** e) {
    library_.arv_camera_get_exposure_time_bounds(camera_, &bounds.first, &bounds.second, e);
  });
  return bounds;
}

double AravisDevice::exposure_us() const {
  return library_.checked("exposure",
                          [&](GError** e) { return library_.arv_camera_get_exposure_time(camera_, e); });
}

void AravisDevice::set_exposure_us(double value) {
  library_.checked("exposure", [&](GError** e) { library_.arv_camera_set_exposure_time(camera_, value, e); });
}

std::pair<double, double> AravisDevice::gain_bounds() const {
  std::pair<double, double> bounds{0, 0};
  library_.checked("gain", [&](GError** e) {
    library_.arv_camera_get_gain_bounds(camera_, &bounds.first, &bounds.second, e);
  });
  return bounds;
}

double AravisDevice::gain() const {
  return library_.checked("gain", [&](GError** e) { return library_.arv_camera_get_gain(camera_, e); });
}

void AravisDevice::set_gain(double value) {
  library_.checked("gain", [&](GError** e) { library_.arv_camera_set_gain(camera_, value, e); });
}

double AravisDevice::frame_rate() const {
  return library_.checked("frame rate",
                          [&](GError** e) { return library_.arv_camera_get_frame_rate(camera_, e); });
}

void AravisDevice::set_frame_rate(double value) {
  library_.checked("frame rate", [&](GError** e) { library_.arv_camera_set_frame_rate(camera_, value, e); });
}

void AravisDevice::set_region(int x, int y, int width, int height) {
  library_.checked("region",
                   [&](GError** e) { library_.arv_camera_set_region(camera_, x, y, width, height, e); });
}

uint64_t AravisDevice::payload() const {
  return library_.checked("payload", [&](GError** e) { return library_.arv_camera_get_payload(camera_, e); });
}

void AravisDevice::set_packet_size(int bytes) {
  library_.arv_camera_gv_set_packet_size_adjustment(camera_, kNeverAdjust);
  library_.checked("packet size",
                   [&](GError** e) { library_.arv_camera_gv_set_packet_size(camera_, bytes, e); });
}

int AravisDevice::packet_size() const {
  return static_cast<int>(library_.checked(
      "packet size", [&](GError** e) { return library_.arv_camera_gv_get_packet_size(camera_, e); }));
}

void AravisDevice::use_packet_socket(bool wanted) {
  library_.arv_camera_gv_set_stream_options(camera_, wanted ? 0 : kPacketSocketDisabled);
}

void AravisDevice::set_chunks(const std::string& names) {
  library_.checked("chunks", [&](GError** e) {
    if (names.empty()) return library_.arv_camera_set_chunk_mode(camera_, 0, e);
    library_.arv_camera_set_chunks(camera_, names.c_str(), e);
  });
}

void AravisDevice::set_trigger(const std::string& source) {
  library_.checked("trigger",
                   [&](GError** e) { library_.arv_camera_set_trigger(camera_, source.c_str(), e); });
}

void AravisDevice::clear_trigger() {
  library_.checked("trigger", [&](GError** e) { library_.arv_camera_clear_triggers(camera_, e); });
}

void AravisDevice::software_trigger() {
  library_.checked("software trigger", [&](GError** e) { library_.arv_camera_software_trigger(camera_, e); });
}

void AravisDevice::start() {
  library_.checked("start", [&](GError** e) { library_.arv_camera_start_acquisition(camera_, e); });
}

void AravisDevice::stop() {
  library_.checked("stop", [&](GError** e) { library_.arv_camera_stop_acquisition(camera_, e); });
}

}  // namespace edge
