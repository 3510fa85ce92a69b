#include <exception>

#include "check.hpp"

int main() {
  int failures = 0;
  for (const check::Test& test : check::tests()) {
    check::failed() = false;
    try {
      test.body();
    } catch (const std::exception& error) {
      check::failed() = true;
      std::printf("%s: %s\n", test.name.c_str(), error.what());
    }
    if (check::failed()) std::printf("FAILED %s\n", test.name.c_str());
    failures += check::failed() ? 1 : 0;
  }
  std::printf("%zu passed, %d failed\n", check::tests().size() - static_cast<std::size_t>(failures),
              failures);
  return failures == 0 ? 0 : 1;
}
