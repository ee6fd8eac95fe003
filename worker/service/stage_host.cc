#include "worker/service/stage_host.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/logging.h"
#include "common/base/status_macros.h"
#include "common/model/activation_type.h"
#include "worker/service/load_request.h"

namespace layercake {
namespace {

// How often a load that waits for its link asks whether it is still wanted.
constexpr absl::Duration kOfferPoll = absl::Milliseconds(100);

absl::Status Abandoned() {
  return absl::CancelledError("the load was abandoned while the link to the next stage was tried");
}

bool IsDirectory(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

bool SameShape(const StageShape& a, const StageShape& b) {
  return a.range.first_layer == b.range.first_layer && a.range.num_layers == b.range.num_layers &&
         a.range.has_embedding == b.range.has_embedding && a.range.has_head == b.range.has_head &&
         a.limits.max_step_tokens == b.limits.max_step_tokens &&
         a.limits.max_batch_sequences == b.limits.max_batch_sequences &&
         a.limits.max_context_tokens == b.limits.max_context_tokens &&
         a.limits.block_size_tokens == b.limits.block_size_tokens &&
         a.limits.kv_dtype == b.limits.kv_dtype &&
         a.limits.activation_dtype == b.limits.activation_dtype && a.num_blocks == b.num_blocks;
}

}  // namespace

class StageHost::Exclusive {
 public:
  // `abandon`: a load that is going on is to end early.
  Exclusive(StageHost& host, bool abandon) : host_(host) {
    MutexLock lock(host_.mutex_);
    if (abandon) ++host_.abandon_;
    if (abandon && host_.offer_ != nullptr) host_.offer_->GiveUp();
    while (host_.busy_) host_.changed_.Wait(host_.mutex_);
    if (abandon) --host_.abandon_;
    host_.busy_ = true;
  }
  ~Exclusive() {
    std::unique_ptr<LinkBroker::Offer> offer;  // waited for without the lock
    {
      MutexLock lock(host_.mutex_);
      offer = std::move(host_.offer_);
    }
    offer.reset();
    MutexLock lock(host_.mutex_);
    host_.busy_ = false;
    host_.changed_.NotifyAll();
  }
  Exclusive(const Exclusive&) = delete;
  Exclusive& operator=(const Exclusive&) = delete;

 private:
  StageHost& host_;
};

StageHost::StageHost(StageHostOptions options, Device& device, const Clock& clock)
    : options_(std::move(options)),
      device_(device),
      links_(options_.transport, options_.nccl, device),
      clock_(clock) {}

LoadedStage StageHost::Loaded::Describe() const { return {stage->bytes(), out.name, out.reason}; }

StageHost::~StageHost() { Stop(); }

absl::StatusOr<LoadedStage> StageHost::Load(const v1::LoadStageRequest& request,
                                            LoadProgress progress) {
  const Exclusive exclusive(*this, /*abandon=*/false);
  {
    MutexLock lock(mutex_);
    if (stopped_) return absl::CancelledError("the worker is stopping");
    if (loaded_ != nullptr && request.epoch() == loaded_->request.epoch()) {
      if (google::protobuf::util::MessageDifferencer::Equals(request, loaded_->request)) {
        return loaded_->Describe();
      }
      return absl::FailedPreconditionError(
          absl::StrCat("epoch ", request.epoch(), " is loaded, with another stage"));
    }
    if (request.epoch() <= last_epoch_) {
      return absl::FailedPreconditionError(absl::StrCat(
          "epoch ", request.epoch(), " is over: this worker has seen epoch ", last_epoch_));
    }
    last_epoch_ = request.epoch();
  }
  links_.StartEpoch(request.epoch());
  LC_RETURN_IF_ERROR(BeginOffer(request));
  LC_ASSIGN_OR_RETURN(const auto checkpoint, OpenCheckpoint(request));
  LC_ASSIGN_OR_RETURN(auto stage, LoadStage(request, *checkpoint, progress));
  auto loaded = std::make_unique<Loaded>();
  loaded->request = request;
  loaded->weights = checkpoint->identity();
  loaded->stage = std::move(stage);
  loaded->stage->StartEpoch(request.epoch());
  const LayerRange& range = loaded->stage->shape().range;
  const StageLimits& limits = loaded->stage->shape().limits;
  if (!range.has_embedding) {
    loaded->source = std::make_shared<ActivationQueue>(limits.activation_dtype,
                                                       loaded->stage->incoming(), device_);
  }
  if (!range.has_head) {
    LC_ASSIGN_OR_RETURN(loaded->out, TakeOffer(*loaded->stage, progress));
  }
  const LoadedStage result = loaded->Describe();
  LOG(INFO) << "epoch " << request.epoch() << ": loaded " << DescribeStage(loaded->stage->shape())
            << " of " << checkpoint->directory() << ", " << FormatBytes(result.bytes.total())
            << (result.link.empty() ? "" : absl::StrCat(", sends over ", result.link));
  MutexLock lock(mutex_);
  loaded_ = std::move(loaded);
  return result;
}

absl::Status StageHost::BeginOffer(const v1::LoadStageRequest& request) {
  if (request.next_address().empty()) return absl::OkStatus();
  LC_ASSIGN_OR_RETURN(const DType activations, ActivationDType(request.activation_type()));
  auto offer = std::make_unique<LinkBroker::Offer>(links_, request.epoch(), request.next_address(),
                                                   activations);
  MutexLock lock(mutex_);
  if (abandon_ > 0 || stopped_) return Abandoned();
  offer_ = std::move(offer);
  return absl::OkStatus();
}

absl::StatusOr<OutgoingLink> StageHost::TakeOffer(const StageExecutor& stage,
                                                  LoadProgress progress) {
  LinkBroker::Offer* offer = nullptr;
  {
    MutexLock lock(mutex_);
    offer = offer_.get();
  }
  const int64_t bytes = stage.bytes().weights;
  while (!offer->WaitFor(kOfferPoll)) {
    if (!progress(bytes, bytes)) return Abandoned();
  }
  {
    MutexLock lock(mutex_);
    if (abandon_ > 0 || stopped_) return Abandoned();
  }
  return offer->Take(stage.outgoing());
}

absl::StatusOr<std::unique_ptr<StageExecutor>> StageHost::LoadStage(
    const v1::LoadStageRequest& request, const Checkpoint& checkpoint, LoadProgress progress) {
  LC_ASSIGN_OR_RETURN(const StageShape shape, ReadLoadRequest(request, checkpoint.config()));
  auto before = TakeOut(absl::AbortedError(
      absl::StrCat("the epoch is over: epoch ", request.epoch(), " is being loaded")));
  if (before != nullptr && before->request.fingerprint() == request.fingerprint() &&
      before->request.weight_type() == request.weight_type() &&
      before->weights == checkpoint.identity() && SameShape(before->stage->shape(), shape)) {
    return std::move(before->stage);
  }
  before.reset();  // its links before the stage whose slots they use
  LC_RETURN_IF_ERROR(CheckMemory(checkpoint, shape));
  return StageExecutor::Load(checkpoint, shape, device_, clock_,
                             [&](int64_t loaded_bytes, int64_t total_bytes) {
                               {
                                 MutexLock lock(mutex_);
                                 if (abandon_ > 0 || stopped_) return false;
                               }
                               return progress(loaded_bytes, total_bytes);
                             });
}

absl::StatusOr<std::unique_ptr<Checkpoint>> StageHost::OpenCheckpoint(
    const v1::LoadStageRequest& request) const {
  std::string directory = request.model_dir();
  if (!IsDirectory(directory) && !options_.model_root.empty()) {
    const std::filesystem::path asked(directory);
    const auto name = asked.has_filename() ? asked.filename() : asked.parent_path().filename();
    directory = (std::filesystem::path(options_.model_root) / name).string();
  }
  if (!IsDirectory(directory)) {
    return absl::NotFoundError(absl::StrCat(
        "worker ", options_.worker_name, " has no model directory ", request.model_dir(),
        directory == request.model_dir() ? "" : absl::StrCat(" and no ", directory),
        "; copy the model to this host, and say where with --model-root"));
  }
  LC_ASSIGN_OR_RETURN(auto checkpoint, Checkpoint::Open(directory));
  LC_RETURN_IF_ERROR(CheckRunnable(checkpoint->config()));
  if (checkpoint->fingerprint() != request.fingerprint()) {
    return absl::FailedPreconditionError(absl::StrCat(
        directory, " on worker ", options_.worker_name,
        " is another checkpoint than the coordinator's (fingerprint ",
        absl::Hex(checkpoint->fingerprint(), absl::kZeroPad16), ", the coordinator's is ",
        absl::Hex(request.fingerprint(), absl::kZeroPad16), "); copy the model again"));
  }
  if (request.weight_type() == v1::WEIGHT_TYPE_AUTO) {
    return absl::InvalidArgumentError("weight_type is auto; a worker is told a definite one");
  }
  LC_RETURN_IF_ERROR(CheckMakeable(checkpoint->config(), request.weight_type()));
  checkpoint->HoldWeightsAs(request.weight_type());
  return checkpoint;
}

absl::Status StageHost::CheckMemory(const Checkpoint& checkpoint, const StageShape& shape) const {
  const StageBytes needed = CountStageBytes(checkpoint.config(), shape);
  const int64_t free_bytes = FreeBytes(/*stage_bytes=*/0);
  if (needed.total() <= free_bytes) return absl::OkStatus();
  const std::string cap =
      options_.memory_cap_bytes == 0
          ? ""
          : absl::StrCat(" within its cap of ", FormatBytes(options_.memory_cap_bytes));
  return absl::ResourceExhaustedError(absl::StrCat(
      "worker ", options_.worker_name, " needs ", FormatBytes(needed.total()), " for ",
      DescribeStage(shape), " (weights ", FormatBytes(needed.weights), ", KV ",
      FormatBytes(needed.kv), ", workspace ", FormatBytes(needed.workspace), ") but has ",
      FormatBytes(free_bytes), " free", cap,
      "; lower --context or --batch, raise --memory, or give it fewer layers with --split"));
}

int64_t StageHost::FreeBytes(int64_t stage_bytes) const {
  int64_t free_bytes = device_.Memory().free_bytes;
  if (options_.memory_cap_bytes > 0) {
    free_bytes = std::min(free_bytes, options_.memory_cap_bytes - stage_bytes);
  }
  return std::max<int64_t>(0, free_bytes);
}

std::unique_ptr<StageHost::Loaded> StageHost::TakeOut(const absl::Status& why) {
  std::unique_ptr<Loaded> loaded;
  {
    MutexLock lock(mutex_);
    loaded = std::move(loaded_);
  }
  if (loaded == nullptr) return nullptr;
  if (loaded->run != nullptr) {
    loaded->run->Stop(why);
    loaded->run->WaitForEnd();
  }
  if (loaded->source != nullptr) loaded->source->Close(why);
  return loaded;
}

void StageHost::Unload() {
  const Exclusive exclusive(*this, /*abandon=*/true);
  const auto loaded = TakeOut(absl::AbortedError("the stage was unloaded"));
  if (loaded != nullptr) LOG(INFO) << "epoch " << loaded->request.epoch() << ": unloaded";
}

void StageHost::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  links_.Stop();
  const Exclusive exclusive(*this, /*abandon=*/true);
  TakeOut(
      absl::UnavailableError(absl::StrCat("worker ", options_.worker_name, " is shutting down")));
}

absl::Status StageHost::CheckEpoch(uint64_t epoch) const {
  if (loaded_ == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("worker ", options_.worker_name, " has no stage loaded"));
  }
  if (epoch != loaded_->request.epoch()) {
    return absl::FailedPreconditionError(
        absl::StrCat("epoch ", epoch, " was asked for, but worker ", options_.worker_name,
                     " is in epoch ", loaded_->request.epoch()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<StageRun>> StageHost::Execute(uint64_t epoch,
                                                             StageRunEvents events) {
  MutexLock lock(mutex_);
  LC_RETURN_IF_ERROR(CheckEpoch(epoch));
  if (loaded_->run != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("epoch ", epoch, " has had its Execute call; load a new epoch"));
  }
  ActivationSource* source = loaded_->source.get();
  if (source != nullptr) {
    loaded_->nccl_source = links_.TakeSource(epoch, loaded_->stage->incoming());
  }
  if (loaded_->nccl_source != nullptr) source = loaded_->nccl_source.get();
  loaded_->run = std::make_shared<StageRun>(
      *loaded_->stage, StageLinks{source, loaded_->out.sink.get()}, std::move(events));
  return loaded_->run;
}

absl::StatusOr<std::shared_ptr<ActivationQueue>> StageHost::OpenSource(uint64_t epoch) {
  MutexLock lock(mutex_);
  LC_RETURN_IF_ERROR(CheckEpoch(epoch));
  if (loaded_->source == nullptr) {
    return absl::FailedPreconditionError("the first stage takes no activations");
  }
  LC_RETURN_IF_ERROR(links_.DoWithout(absl::FailedPreconditionError("the sender uses gRPC")));
  if (std::exchange(loaded_->source_taken, true)) {
    return absl::FailedPreconditionError(
        absl::StrCat("epoch ", epoch, " has had its Activate call; load a new epoch"));
  }
  return loaded_->source;
}

StageStats StageHost::Stats() const {
  StageStats stats;
  MutexLock lock(mutex_);
  if (loaded_ != nullptr) {
    stats.stage_bytes = loaded_->stage->bytes().total();
    stats.num_steps = loaded_->stage->num_steps();
    stats.step_running = loaded_->stage->step_running();
  }
  stats.free_bytes = FreeBytes(stats.stage_bytes);
  stats.last_epoch = last_epoch_;
  stats.device = device_.status();
  return stats;
}

}  // namespace layercake
