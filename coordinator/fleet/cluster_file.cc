#include "coordinator/fleet/cluster_file.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/bytes.h"
#include "common/base/status_macros.h"
#include "coordinator/fleet/cards.h"
#include "coordinator/fleet/device_flag.h"
#include "coordinator/fleet/quantities.h"
#include "coordinator/fleet/spelling.h"
#include "coordinator/fleet/yaml.h"
#include "coordinator/fleet/yaml_fields.h"

namespace layercake {
namespace {

constexpr size_t kMaxDevices = 10'000;
constexpr size_t kMaxLinks = 100'000;

absl::StatusOr<int> ParseCount(absl::string_view text) {
  int count = 0;
  if (absl::SimpleAtoi(text, &count) && count >= 1 && count <= static_cast<int>(kMaxDevices)) {
    return count;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a whole number from 1 to ", kMaxDevices));
}

absl::StatusOr<double> ParseLatency(absl::string_view text) {
  absl::Duration latency;
  if (absl::ParseDuration(text, &latency) && latency >= absl::ZeroDuration() &&
      latency <= absl::Hours(1)) {
    return absl::ToDoubleSeconds(latency);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a latency; write it like 200us"));
}

absl::StatusOr<v1::DeviceKind> ParseKind(absl::string_view text) {
  if (text == "cpu") return v1::DEVICE_KIND_CPU;
  if (text == "gpu") return v1::DEVICE_KIND_CUDA;
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is neither cpu nor gpu"));
}

struct LinkFigures {
  std::optional<double> bandwidth;
  double latency_seconds = 0;
};

LinkFigures ReadFigures(YamlFields& fields) {
  LinkFigures figures;
  figures.bandwidth = fields.Parsed<double>("bandwidth", ParseBandwidth);
  if (!figures.bandwidth) fields.Fail("bandwidth is missing");
  figures.latency_seconds = fields.Parsed<double>("latency", ParseLatency).value_or(0);
  return figures;
}

class Reader {
 public:
  explicit Reader(absl::string_view file) : file_(file) {}

  absl::StatusOr<Fleet> Read(const YamlValue& root) {
    YamlFields fields(root, file_, "a cluster file", {"devices", "links", "defaults"});
    LC_RETURN_IF_ERROR(fields.status());
    const YamlValue* devices = fields.Find("devices");
    if (devices == nullptr || devices->kind != YamlValue::Kind::kList || devices->items.empty()) {
      return YamlError(file_, devices == nullptr ? root : *devices,
                       "devices must list at least one device, as in \"- {name: m40, card: "
                       "tesla-m40}\"");
    }
    for (const YamlValue& device : devices->items) LC_RETURN_IF_ERROR(AddDevices(device));
    LC_RETURN_IF_ERROR(CheckNames(*devices));
    if (const YamlValue* links = fields.Find("links")) {
      if (links->kind != YamlValue::Kind::kList) {
        return YamlError(file_, *links, "links must be a list");
      }
      for (const YamlValue& link : links->items) LC_RETURN_IF_ERROR(AddLink(link));
    }
    if (const YamlValue* defaults = fields.Find("defaults")) {
      LC_RETURN_IF_ERROR(AddDefaults(*defaults));
    }
    return std::move(fleet_);
  }

 private:
  absl::Status AddDevices(const YamlValue& value) {
    YamlFields fields(value, file_, "a device",
                      {"name", "host", "card", "kind", "count", "memory", "free", "cap",
                       "compute_capability", "bandwidth", "rate", "threads"});
    LC_RETURN_IF_ERROR(fields.status());
    PlannerDevice device;
    ReadCard(fields, device);
    device.name = fields.Has("name") ? fields.Text("name") : device.device.name();
    if (device.name.empty()) {
      fields.Fail("name is missing, and there is no card to be called by");
    } else if (const absl::Status named = CheckDeviceName(device.name); !named.ok()) {
      fields.Fail(named.message());
    }
    ReadMemory(fields, device.device);
    ReadSpeed(fields, device);
    device.host = fields.Text("host");
    const std::optional<int> count = fields.Parsed<int>("count", ParseCount);
    LC_RETURN_IF_ERROR(fields.status());
    const bool host_given = !device.host.empty();
    for (int i = 0; i < count.value_or(1); ++i) {
      PlannerDevice one = device;
      if (count) one.name = absl::StrCat(device.name, "-", i);
      // All of one entry are in one machine.
      if (!host_given) one.host = device.name;
      LC_RETURN_IF_ERROR(Add(value, std::move(one)));
    }
    return absl::OkStatus();
  }

  static void ReadCard(YamlFields& fields, PlannerDevice& device) {
    const std::optional<v1::DeviceKind> kind = fields.Parsed<v1::DeviceKind>("kind", ParseKind);
    const std::optional<CardModel> card = fields.Parsed<CardModel>("card", FindCardModel);
    if (card && kind == v1::DEVICE_KIND_CPU) fields.Fail("a cpu has no card; drop one of the two");
    if (card) {
      device.device = DeviceOf(*card);
      device.profile = ProfileOf(*card);
    } else {
      device.device.set_kind(kind.value_or(v1::DEVICE_KIND_CUDA));
      device.device.set_name(fields.Text("name"));
    }
  }

  static void ReadMemory(YamlFields& fields, v1::Device& device) {
    if (const auto memory = fields.Parsed<int64_t>("memory", ParseMemory)) {
      device.set_total_bytes(static_cast<uint64_t>(*memory));
      device.set_free_bytes(static_cast<uint64_t>(*memory));
    }
    if (const auto free = fields.Parsed<int64_t>("free", ParseMemory)) {
      device.set_free_bytes(static_cast<uint64_t>(*free));
      if (device.total_bytes() == 0) device.set_total_bytes(device.free_bytes());
      if (device.free_bytes() > device.total_bytes()) {
        fields.Fail(absl::StrCat("free is ", FormatBytes(*free), " of only ",
                                 FormatBytes(static_cast<int64_t>(device.total_bytes()))));
      }
    }
    if (device.total_bytes() == 0) {
      fields.Fail("card or memory is missing; write card: tesla-m40, or memory: 12GiB");
    }
    if (const auto cap = fields.Parsed<int64_t>("cap", ParseMemory)) {
      device.set_cap_bytes(static_cast<uint64_t>(*cap));
    }
  }

  static void ReadSpeed(YamlFields& fields, PlannerDevice& device) {
    if (const auto bandwidth = fields.Parsed<double>("bandwidth", ParseBandwidth)) {
      device.profile.set_bandwidth_bytes_per_second(*bandwidth);
    }
    if (const auto rate = fields.Parsed<double>("rate", ParseOperations)) {
      device.profile.set_flops_per_second(*rate);
    }
    if (const auto threads = fields.Parsed<int>("threads", ParseCount)) {
      device.device.set_threads(*threads);
    }
    if (const auto capability = fields.Parsed<int>("compute_capability", ParseComputeCapability)) {
      if (device.device.kind() == v1::DEVICE_KIND_CPU) {
        fields.Fail("a cpu has no compute_capability");
      }
      device.device.set_compute_capability(*capability);
    }
  }

  absl::Status Add(const YamlValue& at, PlannerDevice device) {
    if (fleet_.devices.size() == kMaxDevices) {
      return YamlError(file_, at, absl::StrCat("more than ", kMaxDevices, " devices"));
    }
    const auto [known, is_new] = line_of_.emplace(device.name, at.line);
    if (!is_new) {
      return YamlError(file_, at,
                       absl::StrCat("a second device is called ", device.name,
                                    "; the first is in line ", known->second));
    }
    ++hosts_[device.host];
    fleet_.devices.push_back(std::move(device));
    return absl::OkStatus();
  }

  // Links name both, so one name must not mean two things.
  absl::Status CheckNames(const YamlValue& devices) const {
    for (const PlannerDevice& device : fleet_.devices) {
      const auto host = hosts_.find(device.name);
      if (host == hosts_.end() || (host->second == 1 && device.host == device.name)) continue;
      return YamlError(file_, devices,
                       absl::StrCat("the device ", device.name,
                                    " has the name of a host of other devices; call one of them "
                                    "otherwise"));
    }
    return absl::OkStatus();
  }

  absl::Status AddLink(const YamlValue& value) {
    YamlFields fields(value, file_, "a link", {"between", "from", "to", "bandwidth", "latency"});
    LC_RETURN_IF_ERROR(fields.status());
    const LinkFigures figures = ReadFigures(fields);
    LC_RETURN_IF_ERROR(fields.status());
    if (!fields.Has("between")) {
      const YamlValue* from = fields.Find("from");
      const YamlValue* to = fields.Find("to");
      if (from == nullptr || to == nullptr) {
        fields.Fail("a link is between: [a, b], or from: a and to: b");
        return fields.status();
      }
      return AddOneWay(*from, *to, figures);
    }
    if (fields.Has("from") || fields.Has("to")) fields.Fail("between excludes from and to");
    const YamlValue& ends = *fields.Find("between");
    if (ends.kind != YamlValue::Kind::kList || ends.items.size() != 2) {
      fields.FailAt(ends, "between must be two names, as in [tower, rack]");
    }
    LC_RETURN_IF_ERROR(fields.status());
    LC_RETURN_IF_ERROR(AddOneWay(ends.items[0], ends.items[1], figures));
    if (ends.items[0].text == ends.items[1].text) return absl::OkStatus();
    return AddOneWay(ends.items[1], ends.items[0], figures);
  }

  absl::Status AddOneWay(const YamlValue& from, const YamlValue& to, const LinkFigures& figures) {
    for (const YamlValue* end : {&from, &to}) {
      if (line_of_.contains(end->text) || hosts_.contains(end->text)) continue;
      std::vector<absl::string_view> names;
      for (const auto& [name, members] : hosts_) names.push_back(name);
      for (const auto& [name, line] : line_of_) names.push_back(name);
      return YamlError(file_, *end,
                       absl::StrCat("\"", end->text, "\" is neither a device nor a host here",
                                    DidYouMean(end->text, names)));
    }
    if (!linked_.emplace(from.text, to.text).second) {
      return YamlError(file_, from,
                       absl::StrCat("the link from ", from.text, " to ", to.text,
                                    " is given for the second time"));
    }
    return Append(from, from.text, to.text, figures);
  }

  absl::Status Append(const YamlValue& at, const std::string& from, const std::string& to,
                      const LinkFigures& figures) {
    if (fleet_.links.size() == kMaxLinks) {
      return YamlError(file_, at, absl::StrCat("more than ", kMaxLinks, " links"));
    }
    v1::Link& link = fleet_.links.emplace_back();
    link.set_from(from);
    link.set_to(to);
    link.set_latency_seconds(figures.latency_seconds);
    link.set_bandwidth_bytes_per_second(*figures.bandwidth);
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<LinkFigures>> ReadDefault(YamlFields& defaults,
                                                         absl::string_view key) {
    const YamlValue* value = defaults.Find(key);
    if (value == nullptr) return std::nullopt;
    YamlFields fields(*value, file_, key, {"bandwidth", "latency"});
    LC_RETURN_IF_ERROR(fields.status());
    const LinkFigures figures = ReadFigures(fields);
    LC_RETURN_IF_ERROR(fields.status());
    return figures;
  }

  // A default is a link of each pair of hosts that has none of its own; the way back is alike.
  absl::Status AddDefaults(const YamlValue& value) {
    YamlFields fields(value, file_, "defaults", {"within_host", "between_hosts"});
    LC_RETURN_IF_ERROR(fields.status());
    LC_ASSIGN_OR_RETURN(const auto within, ReadDefault(fields, "within_host"));
    LC_ASSIGN_OR_RETURN(const auto between, ReadDefault(fields, "between_hosts"));
    for (auto a = hosts_.begin(); a != hosts_.end(); ++a) {
      for (auto b = a; b != hosts_.end(); ++b) {
        const std::optional<LinkFigures>& figures = a == b ? within : between;
        if (!figures || (a == b && a->second == 1)) continue;
        const std::string& from = a->first;
        const std::string& to = b->first;
        if (linked_.contains({from, to}) || linked_.contains({to, from})) continue;
        LC_RETURN_IF_ERROR(Append(value, from, to, *figures));
      }
    }
    return absl::OkStatus();
  }

  const absl::string_view file_;
  Fleet fleet_;
  std::map<std::string, int> line_of_;  // of each device
  std::map<std::string, int> hosts_;    // and how many devices each has
  std::set<std::pair<std::string, std::string>> linked_;
};

}  // namespace

absl::StatusOr<Fleet> ParseClusterFile(absl::string_view text, absl::string_view file) {
  LC_ASSIGN_OR_RETURN(const YamlValue root, ParseYaml(text, file));
  return Reader(file).Read(root);
}

}  // namespace layercake
