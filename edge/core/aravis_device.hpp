// One camera under our control, through Aravis. Every call may take seconds (2.5 s on a camera that has
// gone): never from a path with a deadline.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "aravis_library.hpp"

namespace edge {

struct AravisFound {
  std::string id, address, vendor, model, serial, protocol;
};

class AravisDevice {
 public:
  static std::vector<AravisFound> list();
  // `id` as the list has it, or an IP address. Throws CoreError.
  static std::shared_ptr<AravisDevice> open(const std::string& id);
  // The same without looking for it: a GigE Vision camera whose addresses are known. Throws CoreError.
  static std::shared_ptr<AravisDevice> open_at(const std::string& interface_ip, const std::string& device_ip);
  ~AravisDevice() { close(); }
  AravisDevice(const AravisDevice&) = delete;
  AravisDevice& operator=(const AravisDevice&) = delete;

  void close();

  bool is_gige() const { return gige_; }
  bool in_control() const;  // asks the library, not the camera
  std::string interface_ip() const;
  std::string device_ip() const;
  bool is_loopback() const;

  bool has(const std::string& feature) const;
  std::string text(const std::string& feature) const;
  void set_text(const std::string& feature, const std::string& value);
  int64_t integer(const std::string& feature) const;
  void set_integer(const std::string& feature, int64_t value);
  struct Steps {
    int64_t lowest, highest, step;
  };
  Steps steps(const std::string& feature) const;
  std::vector<std::string> choices(const std::string& feature) const;
  std::pair<double, double> exposure_bounds_us() const;
  double exposure_us() const;
  void set_exposure_us(double value);
  std::pair<double, double> gain_bounds() const;
  double gain() const;
  void set_gain(double value);
  double frame_rate() const;
  void set_frame_rate(double value);
  void set_region(int x, int y, int width, int height);
  uint64_t payload() const;
  void set_packet_size(int bytes);
  int packet_size() const;
  void use_packet_socket(bool wanted);
  // Names of ChunkSelector with commas between; nothing: no chunks.
  void set_chunks(const std::string& names);
  void set_trigger(const std::string& source);
  void clear_trigger();
  void software_trigger();
  void start();
  void stop();

  void* camera() const { return camera_; }
  const AravisLibrary& library() const { return library_; }

 private:
  AravisDevice(const AravisLibrary& library, void* camera);
  std::string ip(void* socket_address) const;

  const AravisLibrary& library_;
  void* camera_;
  bool gige_;
};

}  // namespace edge
