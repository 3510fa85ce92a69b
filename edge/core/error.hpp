// The one exception of the native core; Python sees it as edge._core.CoreError.
#pragma once

#include <stdexcept>

namespace edge {

struct CoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace edge
