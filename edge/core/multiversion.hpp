// One binary for old and new x86 processors: the loader picks the version of a function. Sanitizers start
// after the picking, so they do without; other processors need none (NEON is always there).
#pragma once

#include <cstddef>  // defines __GLIBC__

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define EDGE_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define EDGE_MULTIVERSION
#endif
