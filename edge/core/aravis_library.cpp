#include "aravis_library.hpp"

#include <dlfcn.h>

#include <map>
#include <mutex>

namespace edge {
namespace {

template <typename Function>
void find(void* library, const std::string& name, const char* symbol, Function& function) {
  void* const found = dlsym(library, symbol);
  if (found == nullptr) {
    throw CoreError(name + ": has no " + symbol + "; expected Aravis 0.8.20 or newer of the 0.8 series: " +
                    "apt-get install libaravis-0.8-0");
  }
  function = reinterpret_cast<Function>(found);
}

AravisLibrary open(const std::string& name) {
  void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    throw CoreError(name + ": cannot be loaded (" + (why == nullptr ? "no reason given" : why) +
                    "); cameras of kind aravis need Aravis 0.8: apt-get install libaravis-0.8-0");
  }
  AravisLibrary made;
#define EDGE_ARAVIS_FIND(result, name_, arguments) find(library, name, #name_, made.name_);
  EDGE_ARAVIS_FUNCTIONS(EDGE_ARAVIS_FIND)
#undef EDGE_ARAVIS_FIND
  return made;
}

}  // namespace

const AravisLibrary& AravisLibrary::load(const std::string& library) {
  static std::mutex mutex;
  static std::map<std::string, AravisLibrary> loaded;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = loaded.find(library);
  return found != loaded.end() ? found->second : loaded.emplace(library, open(library)).first->second;
}

}  // namespace edge
