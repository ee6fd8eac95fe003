#pragma once

// Keeps a coordinator and its workers running.

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "coordinator/cli/child_process.h"

namespace layercake {

struct RestartPolicy {
  absl::Duration first_delay = absl::Seconds(1);  // doubled with every death in a row
  absl::Duration longest_delay = absl::Seconds(30);
  absl::Duration settled = absl::Seconds(60);  // having lived this long, deaths count anew
};

// Thread-compatible; all calls from the thread that started the children (they die with it).
class Supervisor {
 public:
  enum class Role {
    kEssential,    // its end is the service's end
    kRestartable,  // started again when it dies; but an exit with a code that says its command
                   // line, address, host, device or version is wrong would only repeat: it ends the
                   // service
  };
  // How the service ended.
  struct Failure {
    int exit_code = 1;
    std::string message;
  };

  // `say` tells the person at the terminal, a line at a time. `clock` must outlive the supervisor.
  Supervisor(const RestartPolicy& policy, const Clock* clock,
             std::function<void(const std::string&)> say);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Errors: NotFound (no such program).
  absl::Status Start(const ChildSpec& spec, Role role);

  // Reaps what ended and starts what is due again. Call on SIGCHLD and at least every second.
  std::optional<Failure> Tick();

  // Stops all children, essential ones first, each group within `grace`. Idempotent.
  void Stop(absl::Duration grace);

 private:
  struct Child {
    ChildSpec spec;
    Role role;
    pid_t pid = -1;  // -1: not running
    absl::Time started;
    absl::Duration delay;
    absl::Time due = absl::InfiniteFuture();  // to be started again
  };

  absl::Status Launch(Child& child);
  std::optional<Failure> OnExit(Child& child, const ChildExit& exit);

  const RestartPolicy policy_;
  const Clock* const clock_;
  const std::function<void(const std::string&)> say_;
  std::vector<Child> children_;
};

}  // namespace layercake
