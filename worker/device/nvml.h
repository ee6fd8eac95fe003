#pragma once

// NVIDIA's management library, where there is one: it tells of cards without using them.

#include <cstdint>
#include <optional>
#include <string>

namespace layercake {

class Nvml {
 public:
  // Loads `library`, which stays for good. Without it nothing is known of any card.
  explicit Nvml(const std::string& library = "libnvidia-ml.so.1");

  // What is free on the card of that UUID now; nothing where the library does not say.
  std::optional<int64_t> FreeBytes(const std::string& uuid) const;

 private:
  // nvmlMemory_t.
  struct Memory {
    unsigned long long total, free, used;
  };

  int (*handle_by_uuid_)(const char* uuid, void** handle) = nullptr;
  int (*memory_info_)(void* handle, Memory* memory) = nullptr;
};

}  // namespace layercake
