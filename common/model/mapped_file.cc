#include "common/model/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace layercake {

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const std::string message = absl::StrCat("cannot read ", path, ": ", std::strerror(errno));
    if (errno == EACCES || errno == EPERM) return absl::PermissionDeniedError(message);
    return absl::NotFoundError(message);
  }
  struct stat info;
  absl::Status status;
  void* data = MAP_FAILED;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    status = absl::DataLossError(absl::StrCat(path, " is not a plain file"));
  } else if (info.st_size == 0) {
    status = absl::DataLossError(absl::StrCat(path, " is empty"));
  } else {
    data = mmap(nullptr, info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
      status = absl::InternalError(absl::StrCat("cannot map ", path, ": ", std::strerror(errno)));
    }
  }
  close(fd);
  if (!status.ok()) return status;
  return std::unique_ptr<MappedFile>(
      new MappedFile(static_cast<const char*>(data), static_cast<size_t>(info.st_size),
                     absl::StrCat(info.st_dev, ":", info.st_ino, ":", info.st_size, ":",
                                  info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec)));
}

MappedFile::~MappedFile() { munmap(const_cast<char*>(data_), size_); }

}  // namespace layercake
