#include "coordinator/cli/supervisor.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/options/options.h"

namespace layercake {
namespace {

bool WouldRepeat(const ChildExit& exit) {
  constexpr int kCodes[] = {kExitUsage,    kExitAddress,   kExitRefused,  kExitUnsupported,
                            kExitNoDriver, kExitOldDriver, kExitNoDevice, kExitDeviceTaken};
  return exit.signal == 0 &&
         std::find(std::begin(kCodes), std::end(kCodes), exit.code) != std::end(kCodes);
}

}  // namespace

Supervisor::Supervisor(const RestartPolicy& policy, const Clock* clock,
                       std::function<void(const std::string&)> say)
    : policy_(policy), clock_(clock), say_(std::move(say)) {}

Supervisor::~Supervisor() { Stop(absl::ZeroDuration()); }

absl::Status Supervisor::Start(const ChildSpec& spec, Role role) {
  Child child{.spec = spec, .role = role, .delay = policy_.first_delay};
  LC_RETURN_IF_ERROR(Launch(child));
  children_.push_back(std::move(child));
  return absl::OkStatus();
}

absl::Status Supervisor::Launch(Child& child) {
  LC_ASSIGN_OR_RETURN(child.pid, SpawnChild(child.spec));
  child.started = clock_->Now();
  child.due = absl::InfiniteFuture();
  return absl::OkStatus();
}

std::optional<Supervisor::Failure> Supervisor::OnExit(Child& child, const ChildExit& exit) {
  child.pid = -1;
  const std::string what = absl::StrCat(child.spec.name, " ", DescribeExit(exit));
  if (child.role == Role::kEssential || WouldRepeat(exit)) {
    return Failure{.exit_code = exit.code != 0 ? exit.code : kExitFailure, .message = what};
  }
  const absl::Time now = clock_->Now();
  if (now - child.started >= policy_.settled) child.delay = policy_.first_delay;
  child.due = now + child.delay;
  say_(absl::StrCat(what, "; starting it again in ", absl::FormatDuration(child.delay)));
  child.delay = std::min(2 * child.delay, policy_.longest_delay);
  return std::nullopt;
}

std::optional<Supervisor::Failure> Supervisor::Tick() {
  for (Child& child : children_) {
    if (child.pid >= 0) {
      const std::optional<ChildExit> exit = PollChild(child.pid);
      if (!exit.has_value()) continue;
      if (std::optional<Failure> failure = OnExit(child, *exit)) return failure;
    }
    if (clock_->Now() < child.due) continue;
    if (const absl::Status status = Launch(child); !status.ok()) {
      return Failure{.exit_code = kExitFailure, .message = std::string(status.message())};
    }
  }
  return std::nullopt;
}

void Supervisor::Stop(absl::Duration grace) {
  for (const Role role : {Role::kEssential, Role::kRestartable}) {
    std::vector<pid_t> pids;
    for (Child& child : children_) {
      if (child.role != role) continue;
      child.due = absl::InfiniteFuture();
      if (child.pid >= 0) pids.push_back(std::exchange(child.pid, -1));
    }
    StopChildren(pids, grace);
  }
}

}  // namespace layercake
