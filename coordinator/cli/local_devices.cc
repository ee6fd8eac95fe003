#include "coordinator/cli/local_devices.h"

#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"

extern char** environ;

namespace layercake {
namespace {

// The program's process and the reading end of its stdout. Killed, if need be, and reaped when
// destroyed.
class Listing {
 public:
  static absl::StatusOr<std::unique_ptr<Listing>> Start(const std::string& program) {
    int ends[2];
    if (access(program.c_str(), X_OK) != 0 || pipe2(ends, O_CLOEXEC) != 0) {
      return absl::NotFoundError(absl::StrCat("cannot run ", program, ": ", strerror(errno)));
    }
    auto listing = std::make_unique<Listing>();
    listing->output_ = ends[0];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::string list = "--list-devices", option = "-o", json = "json", path = program;
    char* const argv[] = {path.data(), list.data(), option.data(), json.data(), nullptr};
    const int error = posix_spawn(&listing->pid_, path.c_str(), &actions, nullptr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error != 0) {
      return absl::NotFoundError(absl::StrCat("cannot run ", program, ": ", strerror(error)));
    }
    return listing;
  }
  Listing() = default;
  ~Listing() {
    if (output_ >= 0) close(output_);
    if (pid_ > 0) kill(pid_, SIGKILL);
    (void)Reap();
  }
  Listing(const Listing&) = delete;
  Listing& operator=(const Listing&) = delete;

  absl::StatusOr<std::string> ReadAll(absl::Time deadline) {
    std::string text;
    char buffer[4096];
    while (true) {
      const int64_t left = absl::ToInt64Milliseconds(deadline - Clock::Real()->Now());
      pollfd readable = {output_, POLLIN, 0};
      const int ready = poll(&readable, 1, static_cast<int>(std::max<int64_t>(0, left)));
      if (ready < 0 && errno == EINTR) continue;
      if (ready <= 0) return absl::DeadlineExceededError("it did not answer in time");
      const ssize_t n = read(output_, buffer, sizeof(buffer));
      if (n <= 0) return text;
      text.append(buffer, static_cast<size_t>(n));
    }
  }

  // The exit status as waitpid gives it.
  int Reap() {
    int status = 0;
    if (pid_ > 0) waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
};

}  // namespace

absl::StatusOr<v1::DeviceList> ListLocalDevices(const std::string& worker_program,
                                                absl::Duration timeout) {
  LC_ASSIGN_OR_RETURN(const auto listing, Listing::Start(worker_program));
  const auto json = listing->ReadAll(Clock::Real()->Now() + timeout);
  if (!json.ok()) {
    return absl::DeadlineExceededError(
        absl::StrCat(worker_program, " --list-devices: ", json.status().message(),
                     "; the GPU driver may hang, see nvidia-smi; name devices with --devices"));
  }
  const int status = listing->Reap();
  v1::DeviceList list;
  if (status != 0 || !google::protobuf::util::JsonStringToMessage(*json, &list).ok()) {
    return absl::InternalError(
        absl::StrCat(worker_program, " --list-devices failed; is it of this version?"));
  }
  return list;
}

}  // namespace layercake
