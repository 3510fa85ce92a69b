#include "aravis_library.hpp"

#include "dynamic_library.hpp"

namespace edge {
namespace {

AravisLibrary open(const std::string& name) {
  const DynamicLibrary library(
      name, RTLD_LOCAL, "cameras of kind aravis need Aravis 0.8: apt-get install libaravis-0.8-0",
      "expected Aravis 0.8.20 or newer of the 0.8 series: apt-get install libaravis-0.8-0");
  AravisLibrary made;
#define EDGE_ARAVIS_FIND(result, name_, arguments) library.find(#name_, made.name_);
  EDGE_ARAVIS_FUNCTIONS(EDGE_ARAVIS_FIND)
#undef EDGE_ARAVIS_FIND
  return made;
}

}  // namespace

const AravisLibrary& AravisLibrary::load(const std::string& library) { return loaded_once(library, open); }

}  // namespace edge
