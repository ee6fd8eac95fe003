#include "coordinator/cli/status_table.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/base/bytes.h"
#include "common/base/text_groups.h"
#include "common/base/text_table.h"
#include "coordinator/placement/plan_table.h"

namespace layercake {
namespace {

// Of more unlike links only the slowest are listed.
constexpr size_t kMaxLinksListed = 32;

std::string StateName(v1::ServingState state) {
  switch (state) {
    case v1::SERVING_STATE_EMPTY:
      return "no model loaded";
    case v1::SERVING_STATE_LOADING:
      return "loading";
    case v1::SERVING_STATE_READY:
      return "ready";
    case v1::SERVING_STATE_DRAINING:
      return "draining";
    case v1::SERVING_STATE_DEGRADED:
      return "degraded";
    default:
      return "unknown";
  }
}

std::string StateName(v1::WorkerState state) {
  switch (state) {
    case v1::WORKER_STATE_IDLE:
      return "idle";
    case v1::WORKER_STATE_LOADING:
      return "loading";
    case v1::WORKER_STATE_READY:
      return "ready";
    case v1::WORKER_STATE_LOST:
      return "lost";
    default:
      return "unknown";
  }
}

std::string LayersOf(const v1::Plan& plan, const std::string& worker) {
  for (const v1::StagePlan& stage : plan.stages()) {
    if (stage.worker() != worker) continue;
    const bool several = plan.num_replicas() > 1;
    return absl::StrCat(several ? absl::StrCat("replica ", stage.replica(), ": ") : "",
                        stage.has_embedding() ? "embed+" : "", stage.first_layer(), "-",
                        stage.first_layer() + stage.num_layers() - 1,
                        stage.has_head() ? "+head" : "");
  }
  return "-";
}

std::string Ends(const std::string& from, const std::string& to) {
  return absl::StrCat(from, " -> ", to);
}

std::string Bytes(uint64_t bytes) { return FormatBytes(static_cast<int64_t>(bytes)); }

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

// What runs and waits, somewhere.
template <typename Message>
std::string Load(const Message& message) {
  return absl::StrCat(message.running_sequences(), " running, ", message.waiting_sequences(),
                      " waiting; ", message.free_blocks(), " of ", message.total_blocks(),
                      " KV blocks free; ");
}

std::string ReplicaRow(const v1::ReplicaStatus& replica) {
  const std::string name = absl::StrCat("  replica ", replica.replica(), ": ");
  if (!replica.ready()) return absl::StrCat(name, "loading\n");
  return absl::StrCat(name, Load(replica), replica.generated_tokens(), " generated tokens\n");
}

std::string WorkerRows(const v1::ClusterStatus& status) {
  constexpr auto kRight = TextTable::Align::kRight;
  TextTable table({{"worker"},
                   {"state"},
                   {"layers"},
                   {"stage", kRight},
                   {"free", kRight},
                   {"cap", kRight},
                   {"bandwidth", kRight},
                   {"prompts", kRight},
                   {"steps", kRight},
                   {"heartbeat", kRight},
                   {"address"},
                   {"device"}});
  for (const v1::WorkerStatus& worker : status.workers()) {
    const v1::Device& device = worker.device();
    std::string name = device.name();
    if (device.kind() == v1::DEVICE_KIND_CPU) {
      absl::StrAppend(&name, name.empty() ? "" : ", ", Counted(device.threads(), "thread"));
    }
    const bool lost = worker.state() == v1::WORKER_STATE_LOST;
    table.AddRow(
        {worker.name(), StateName(worker.state()),
         lost ? "-" : LayersOf(status.plan(), worker.name()), Bytes(worker.stage_bytes()),
         Bytes(device.free_bytes()), device.cap_bytes() > 0 ? Bytes(device.cap_bytes()) : "-",
         absl::StrCat(FormatFigure(worker.profile().bandwidth_bytes_per_second() / 1e9), " GB/s"),
         absl::StrCat(FormatFigure(worker.profile().flops_per_second() / 1e9), " GFLOP/s"),
         absl::StrCat(worker.steps()),
         absl::StrFormat("%.1f s ago",
                         absl::ToDoubleSeconds(ToDuration(worker.last_heartbeat_ago()))),
         worker.address(), lost && !worker.detail().empty() ? worker.detail() : name});
  }
  return table.Format();
}

// Over what activations go between which stages, and why; "" where none are handed on.
std::string EdgeRows(const v1::Plan& plan) {
  TextGroups<std::string> ways;
  for (int i = 0; i + 1 < plan.stages_size(); ++i) {
    if (plan.stages(i).link().empty()) continue;
    ways.Add(Ends(plan.stages(i).worker(), plan.stages(i + 1).worker()),
             DescribeLink(plan.stages(i)));
  }
  if (ways.groups().empty()) return "";
  TextTable table({{"activations over"}, {"between"}});
  for (const auto& way : ways.groups()) table.AddRow({way.saying, way.Names()});
  return absl::StrCat("\n", table.Format());
}

}  // namespace

std::string FormatLinks(const google::protobuf::RepeatedPtrField<v1::Link>& links) {
  std::vector<const v1::Link*> slowest_first;
  for (const v1::Link& link : links) slowest_first.push_back(&link);
  std::ranges::stable_sort(slowest_first, {}, &v1::Link::bandwidth_bytes_per_second);
  TextGroups<std::pair<std::string, std::string>> alike;
  for (const v1::Link* link : slowest_first) {
    alike.Add(Ends(link->from(), link->to()),
              {absl::StrCat(FormatFigure(link->bandwidth_bytes_per_second() / 1e9), " GB/s"),
               absl::StrCat(FormatFigure(link->latency_seconds() * 1e6), " us")});
  }
  constexpr auto kRight = TextTable::Align::kRight;
  TextTable table({{"bandwidth", kRight}, {"latency", kRight}, {"link"}});
  size_t told = 0;
  for (size_t i = 0; i < std::min(alike.groups().size(), kMaxLinksListed); ++i) {
    const auto& group = alike.groups()[i];
    table.AddRow({group.saying.first, group.saying.second, group.Names()});
    told += group.members.size();
  }
  const size_t more = slowest_first.size() - told;
  if (more == 0) return table.Format();
  return absl::StrCat(table.Format(), "and ", more,
                      " more, none with less bandwidth; -o json has all\n");
}

std::string FormatStatus(const v1::ClusterStatus& status) {
  std::string out = status.model().empty() ? "" : absl::StrCat(status.model(), ": ");
  absl::StrAppend(&out, StateName(status.state()));
  if (!status.detail().empty()) absl::StrAppend(&out, " (", status.detail(), ")");
  absl::StrAppend(&out, "; up ",
                  absl::FormatDuration(absl::Trunc(ToDuration(status.uptime()), absl::Seconds(1))),
                  ", version ", status.version(), "\n");
  if (status.total_blocks() > 0) {
    absl::StrAppend(&out, Load(status), status.prompt_tokens(), " prompt and ",
                    status.generated_tokens(), " generated tokens so far\n");
  }
  for (const v1::ReplicaStatus& replica : status.replicas()) {
    if (status.replicas_size() > 1) out += ReplicaRow(replica);
  }
  if (status.workers_size() == 0) {
    return absl::StrCat(out, "\nno workers; start layercake-worker with --coordinator\n");
  }
  absl::StrAppend(&out, "\n", WorkerRows(status), EdgeRows(status.plan()));
  if (status.links_size() > 0) absl::StrAppend(&out, "\n", FormatLinks(status.links()));
  return out;
}

}  // namespace layercake
