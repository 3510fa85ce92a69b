// Libraries that are looked for when they are first needed, and loaded once.
#pragma once

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <string>

#include "error.hpp"

namespace edge {

class DynamicLibrary {
 public:
  // `expected` and `too_old` end the messages about a library, and a symbol, that is not there. Throws
  // CoreError.
  DynamicLibrary(const std::string& name, int scope, const char* expected, const char* too_old)
      : name_(name), too_old_(too_old), handle_(dlopen(name.c_str(), RTLD_NOW | scope)) {
    if (handle_ != nullptr) return;
    const char* const why = dlerror();
    throw CoreError(name + ": cannot be loaded (" + (why == nullptr ? "no reason given" : why) + "); " +
                    expected);
  }

  // Throws CoreError.
  template <typename Function>
  void find(const char* symbol, Function& function) const {
    void* const found = dlsym(handle_, symbol);
    if (found == nullptr) throw CoreError(name_ + ": has no " + symbol + "; " + too_old_);
    function = reinterpret_cast<Function>(found);
  }

 private:
  std::string name_;
  const char* too_old_;
  void* handle_;  // never closed: what was found in it is called until the process ends
};

// The table of functions of the library `name`: made by `open` at the first call, the same one from then on.
template <typename Table>
const Table& loaded_once(const std::string& name, Table (*open)(const std::string&)) {
  static std::mutex mutex;
  static std::map<std::string, Table> loaded;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = loaded.find(name);
  return found != loaded.end() ? found->second : loaded.emplace(name, open(name)).first->second;
}

}  // namespace edge
