// Aravis 0.8 (GigE Vision, USB3 Vision) and the GLib under it, found at run time: no header, no library at
// build time. Names and types are those of its ABI; objects are pointers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "error.hpp"

namespace edge {

struct GError {
  uint32_t domain;
  int code;
  char* message;
};

// result, name, arguments
#define EDGE_ARAVIS_FUNCTIONS(X)                                                             \
  X(void, arv_update_device_list, (void))                                                    \
  X(unsigned, arv_get_n_devices, (void))                                                     \
  X(const char*, arv_get_device_id, (unsigned))                                              \
  X(const char*, arv_get_device_address, (unsigned))                                         \
  X(const char*, arv_get_device_vendor, (unsigned))                                          \
  X(const char*, arv_get_device_model, (unsigned))                                           \
  X(const char*, arv_get_device_serial_nbr, (unsigned))                                      \
  X(const char*, arv_get_device_protocol, (unsigned))                                        \
  X(void*, arv_camera_new, (const char*, GError**))                                          \
  X(void*, arv_camera_new_with_device, (void*, GError**))                                    \
  X(void*, arv_camera_get_device, (void*))                                                   \
  X(void*, arv_camera_create_stream, (void*, void (*)(void*, int, void*), void*, GError**))  \
  X(void, arv_camera_get_region, (void*, int*, int*, int*, int*, GError**))                  \
  X(void, arv_camera_set_region, (void*, int, int, int, int, GError**))                      \
  X(const char**, arv_camera_dup_available_enumerations_as_strings,                          \
    (void*, const char*, unsigned*, GError**))                                               \
  X(void, arv_camera_start_acquisition, (void*, GError**))                                   \
  X(void, arv_camera_stop_acquisition, (void*, GError**))                                    \
  X(void, arv_camera_set_trigger, (void*, const char*, GError**))                            \
  X(void, arv_camera_clear_triggers, (void*, GError**))                                      \
  X(void, arv_camera_software_trigger, (void*, GError**))                                    \
  X(int, arv_camera_is_exposure_time_available, (void*, GError**))                           \
  X(void, arv_camera_set_exposure_time, (void*, double, GError**))                           \
  X(double, arv_camera_get_exposure_time, (void*, GError**))                                 \
  X(void, arv_camera_get_exposure_time_bounds, (void*, double*, double*, GError**))          \
  X(int, arv_camera_is_gain_available, (void*, GError**))                                    \
  X(void, arv_camera_set_gain, (void*, double, GError**))                                    \
  X(double, arv_camera_get_gain, (void*, GError**))                                          \
  X(void, arv_camera_get_gain_bounds, (void*, double*, double*, GError**))                   \
  X(int, arv_camera_is_frame_rate_available, (void*, GError**))                              \
  X(void, arv_camera_set_frame_rate, (void*, double, GError**))                              \
  X(double, arv_camera_get_frame_rate, (void*, GError**))                                    \
  X(unsigned, arv_camera_get_payload, (void*, GError**))                                     \
  X(int, arv_camera_is_feature_available, (void*, const char*, GError**))                    \
  X(void, arv_camera_set_string, (void*, const char*, const char*, GError**))                \
  X(const char*, arv_camera_get_string, (void*, const char*, GError**))                      \
  X(void, arv_camera_set_integer, (void*, const char*, int64_t, GError**))                   \
  X(int64_t, arv_camera_get_integer, (void*, const char*, GError**))                         \
  X(void, arv_camera_get_integer_bounds, (void*, const char*, int64_t*, int64_t*, GError**)) \
  X(int64_t, arv_camera_get_integer_increment, (void*, const char*, GError**))               \
  X(int, arv_camera_is_gv_device, (void*))                                                   \
  X(void, arv_camera_gv_set_packet_size, (void*, int, GError**))                             \
  X(unsigned, arv_camera_gv_get_packet_size, (void*, GError**))                              \
  X(void, arv_camera_gv_set_packet_size_adjustment, (void*, int))                            \
  X(void, arv_camera_gv_set_stream_options, (void*, int))                                    \
  X(int, arv_camera_are_chunks_available, (void*, GError**))                                 \
  X(void, arv_camera_set_chunk_mode, (void*, int, GError**))                                 \
  X(void, arv_camera_set_chunks, (void*, const char*, GError**))                             \
  X(void*, arv_camera_create_chunk_parser, (void*, GError**))                                \
  X(double, arv_chunk_parser_get_float_value, (void*, void*, const char*, GError**))         \
  X(int, arv_buffer_has_chunks, (void*))                                                     \
  X(void*, arv_gv_device_new, (void*, void*, GError**))                                      \
  X(void*, arv_gv_device_get_interface_address, (void*))                                     \
  X(void*, arv_gv_device_get_device_address, (void*))                                        \
  X(int, arv_gv_device_is_controller, (void*))                                               \
  X(void*, arv_buffer_new_full, (size_t, void*, void*, void (*)(void*)))                     \
  X(int, arv_buffer_get_status, (void*))                                                     \
  X(int, arv_buffer_get_payload_type, (void*))                                               \
  X(uint64_t, arv_buffer_get_timestamp, (void*))                                             \
  X(uint64_t, arv_buffer_get_frame_id, (void*))                                              \
  X(const void*, arv_buffer_get_user_data, (void*))                                          \
  X(const void*, arv_buffer_get_image_data, (void*, size_t*))                                \
  X(uint32_t, arv_buffer_get_image_pixel_format, (void*))                                    \
  X(int, arv_buffer_get_image_width, (void*))                                                \
  X(int, arv_buffer_get_image_height, (void*))                                               \
  X(void, arv_buffer_get_image_padding, (void*, int*, int*))                                 \
  X(void, arv_stream_push_buffer, (void*, void*))                                            \
  X(void*, arv_stream_timeout_pop_buffer, (void*, uint64_t))                                 \
  X(void, arv_stream_get_statistics, (void*, uint64_t*, uint64_t*, uint64_t*))               \
  X(void, arv_gv_stream_get_statistics, (void*, uint64_t*, uint64_t*))                       \
  X(uint16_t, arv_gv_stream_get_port, (void*))                                               \
  X(void*, g_object_ref, (void*))                                                            \
  X(void, g_object_unref, (void*))                                                           \
  X(void, g_object_set, (void*, const char*, ...))                                           \
  X(void, g_error_free, (GError*))                                                           \
  X(void, g_free, (void*))                                                                   \
  X(void*, g_inet_socket_address_get_address, (void*))                                       \
  X(char*, g_inet_address_to_string, (void*))                                                \
  X(int, g_inet_address_get_is_loopback, (void*))                                            \
  X(void*, g_inet_address_new_from_string, (const char*))

struct AravisLibrary {
#define EDGE_ARAVIS_POINTER(result, name, arguments) result(*name) arguments = nullptr;
  EDGE_ARAVIS_FUNCTIONS(EDGE_ARAVIS_POINTER)
#undef EDGE_ARAVIS_POINTER

  // Loaded once and never unloaded. Throws CoreError: no such library, or a function is missing.
  static const AravisLibrary& load(const std::string& library = "libaravis-0.8.so.0");

  // Runs a call whose last argument is a GError**. Throws CoreError: "what: why".
  template <typename Call>
  auto checked(const std::string& what, Call call) const {
    GError* error = nullptr;
    if constexpr (std::is_void_v<decltype(call(&error))>) {
      call(&error);
      raise(what, error);
    } else {
      auto result = call(&error);
      raise(what, error);
      return result;
    }
  }

 private:
  void raise(const std::string& what, GError* error) const {
    if (error == nullptr) return;
    const std::string why = error->message;
    g_error_free(error);
    throw CoreError(what + ": " + why);
  }
};

}  // namespace edge
