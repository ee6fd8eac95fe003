#pragma once

// The sanitizers' interfaces for fibers; nothing where a build has no such sanitizer.

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

#if defined(__SANITIZE_THREAD__) || LAYERCAKE_HAS_FEATURE(thread_sanitizer)
#include <sanitizer/tsan_interface.h>
namespace layercake::simt {
inline void* CreateThreadFiber() { return __tsan_create_fiber(0); }
inline void DestroyThreadFiber(void* fiber) { __tsan_destroy_fiber(fiber); }
inline void* CurrentThreadFiber() { return __tsan_get_current_fiber(); }
inline void SwitchThreadFiber(void* fiber) { __tsan_switch_to_fiber(fiber, 0); }
}  // namespace layercake::simt
#else
namespace layercake::simt {
inline void* CreateThreadFiber() { return nullptr; }
inline void DestroyThreadFiber(void*) {}
inline void* CurrentThreadFiber() { return nullptr; }
inline void SwitchThreadFiber(void*) {}
}  // namespace layercake::simt
#endif
