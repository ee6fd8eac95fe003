#pragma once

// AddressSanitizer's interface for fibers; nothing in a build without it.

#include <cstddef>

#if defined(__has_feature)
#define LAYERCAKE_HAS_FEATURE(x) __has_feature(x)
#else
#define LAYERCAKE_HAS_FEATURE(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || LAYERCAKE_HAS_FEATURE(address_sanitizer)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
namespace layercake::simt {
inline constexpr bool kAddressSanitizer = true;
inline void StartSwitch(void** save, const void* bottom, size_t bytes) {
  __sanitizer_start_switch_fiber(save, bottom, bytes);
}
inline void FinishSwitch(void* saved, const void** bottom, size_t* bytes) {
  __sanitizer_finish_switch_fiber(saved, bottom, bytes);
}
inline void ForgetStack(const void* bottom, size_t bytes) {
  __asan_unpoison_memory_region(bottom, bytes);
}
}  // namespace layercake::simt
#else
namespace layercake::simt {
inline constexpr bool kAddressSanitizer = false;
inline void StartSwitch(void**, const void*, size_t) {}
inline void FinishSwitch(void*, const void**, size_t*) {}
inline void ForgetStack(const void*, size_t) {}
}  // namespace layercake::simt
#endif
