// Counts what this thread allocates with `new`, for tests of code that must not.
#pragma once

#include <cstddef>

std::size_t allocations();
