#pragma once

// A file read through the page cache, without copies.

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace layercake {

// A read-only file mapping; unmapped when destroyed. Thread-safe. A file that is shortened while
// mapped kills its readers (SIGBUS): checkpoints are replaced by renaming, never rewritten in
// place.
class MappedFile {
 public:
  // Errors: NotFound, PermissionDenied, DataLoss (empty, or no plain file), Internal (mmap).
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  absl::string_view bytes() const { return {data_, size_}; }
  // Which file this is, on this host; another one once it is replaced or written to.
  const std::string& identity() const { return identity_; }

 private:
  MappedFile(const char* data, size_t size, std::string identity)
      : data_(data), size_(size), identity_(std::move(identity)) {}
  const char* data_;
  size_t size_;
  const std::string identity_;
};

}  // namespace layercake
