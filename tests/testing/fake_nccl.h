#pragma once

// NCCL within one process, over host memory, and what goes wrong with it.
//
// Communicators of the same id find each other. A receive is in progress until the bytes are there,
// which is when the caller polls; a send is done at once, and on its way until it is received.

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "worker/transport/nccl_functions.h"

namespace layercake {

// One at a time: NCCL's functions are global. Thread-safe.
class FakeNccl {
 public:
  struct Script {
    int version = 22809;
    bool never_connects = false;  // as where a firewall drops the packets
    int connect_error = 0;        // e.g. 5, invalid usage: two ends on one card
    int connect_error_rank = -1;  // of that end alone; -1: of both
    bool corrupts = false;        // every message's first byte arrives changed
    bool never_delivers = false;  // receives hang
    int send_error = 0;           // e.g. 6, remote error: the peer is gone
    // All communicators are on one device: an abort waits until nothing is on its way to or from
    // any other that is not being aborted.
    bool one_device = false;
  };

  FakeNccl() : FakeNccl(Script()) {}
  explicit FakeNccl(const Script& script) : script_(script) { current_ = this; }
  ~FakeNccl() { current_ = nullptr; }

  static const NcclFunctions& Functions() {
    static const NcclFunctions functions = {&GetVersion, &GetUniqueId, &Connect, &AsyncError,
                                            &Abort,      &Send,        &Receive, &ErrorString};
    return functions;
  }

  int num_open() {
    MutexLock lock(mutex_);
    return static_cast<int>(open_.size());
  }
  void AwaitOpen(size_t count) {
    MutexLock lock(mutex_);
    while (open_.size() < count) changed_.Wait(mutex_);
  }
  // Whether all were closed before `deadline`.
  bool AwaitClosed(absl::Time deadline) {
    MutexLock lock(mutex_);
    while (!open_.empty() && Clock::Real()->Now() < deadline) {
      changed_.WaitFor(mutex_, deadline - Clock::Real()->Now());
    }
    return open_.empty();
  }
  int64_t last_sent_bytes() {
    MutexLock lock(mutex_);
    return last_sent_bytes_;
  }
  // Each costs a thread and a socket until both ends have come.
  int num_ids() {
    MutexLock lock(mutex_);
    return num_ids_;
  }
  // Returns when some end receives what is not there.
  void AwaitReceive() {
    MutexLock lock(mutex_);
    while (std::none_of(open_.begin(), open_.end(),
                        [](const Comm* comm) { return comm->receiving != nullptr; })) {
      changed_.Wait(mutex_);
    }
  }
  // Aborts that waited in vain.
  int num_stuck() {
    MutexLock lock(mutex_);
    return num_stuck_;
  }
  void set_script(const Script& script) {
    MutexLock lock(mutex_);
    script_ = script;
  }

 private:
  static constexpr absl::Duration kPatience = absl::Seconds(2);
  struct Meeting {
    int arrived = 0;
    std::deque<std::string> messages[2];  // to rank 0, to rank 1
  };
  struct Comm {
    std::shared_ptr<Meeting> meeting;
    int rank = 0;
    bool connected = false;
    void* receiving = nullptr;
    size_t receiving_bytes = 0;
    bool aborting = false;
  };

  static int GetVersion(int* version) {
    MutexLock lock(current_->mutex_);
    *version = current_->script_.version;
    return 0;
  }
  static int GetUniqueId(NcclUniqueId* id) {
    MutexLock lock(current_->mutex_);
    *id = {};
    const std::string name = "fake-" + std::to_string(++current_->num_ids_);
    name.copy(id->bytes, sizeof(id->bytes));
    return 0;
  }
  static int Connect(NcclComm** comm, int num_ranks, NcclUniqueId id, int rank,
                     NcclConfig* config) {
    FakeNccl& self = *current_;
    MutexLock lock(self.mutex_);
    if (num_ranks != 2 || config->blocking != 0) return 4;
    if (self.script_.connect_error_rank < 0 || self.script_.connect_error_rank == rank) {
      if (self.script_.connect_error != 0) return self.script_.connect_error;
    }
    std::shared_ptr<Meeting>& meeting = self.meetings_[std::string(id.bytes, sizeof(id.bytes))];
    if (meeting == nullptr) meeting = std::make_shared<Meeting>();
    ++meeting->arrived;
    Comm* const made = new Comm{.meeting = meeting, .rank = rank};
    self.open_.insert(made);
    self.changed_.NotifyAll();
    *comm = reinterpret_cast<NcclComm*>(made);
    return kNcclInProgress;
  }
  static int AsyncError(NcclComm* opaque, int* error) {
    FakeNccl& self = *current_;
    MutexLock lock(self.mutex_);
    Comm& comm = *reinterpret_cast<Comm*>(opaque);
    comm.connected |= comm.meeting->arrived == 2 && !self.script_.never_connects;
    *error = comm.connected && self.Deliver(comm) ? kNcclSuccess : kNcclInProgress;
    return 0;
  }
  static int Abort(NcclComm* opaque) {
    FakeNccl& self = *current_;
    Comm* const comm = reinterpret_cast<Comm*>(opaque);
    MutexLock lock(self.mutex_);
    comm->aborting = true;
    self.changed_.NotifyAll();
    const absl::Time patience = Clock::Real()->Now() + kPatience;
    while (self.script_.one_device && self.DeviceIsBusy()) {
      if (Clock::Real()->Now() > patience) {
        ++self.num_stuck_;
        break;
      }
      self.changed_.WaitFor(self.mutex_, absl::Milliseconds(10));
    }
    self.open_.erase(comm);
    delete comm;
    self.changed_.NotifyAll();
    return 0;
  }
  static int Send(const void* data, size_t count, int, int peer, NcclComm* opaque, CUstream_st*) {
    FakeNccl& self = *current_;
    MutexLock lock(self.mutex_);
    if (self.script_.send_error != 0) return self.script_.send_error;
    self.last_sent_bytes_ = static_cast<int64_t>(count);
    std::string message(static_cast<const char*>(data), count);
    if (self.script_.corrupts) message[0] = static_cast<char>(message[0] ^ 1);
    reinterpret_cast<Comm*>(opaque)->meeting->messages[peer].push_back(std::move(message));
    return 0;
  }
  static int Receive(void* data, size_t count, int, int, NcclComm* opaque, CUstream_st*) {
    MutexLock lock(current_->mutex_);
    Comm& comm = *reinterpret_cast<Comm*>(opaque);
    comm.receiving = data;
    comm.receiving_bytes = count;
    current_->changed_.NotifyAll();
    return kNcclInProgress;
  }
  static const char* ErrorString(int error) {
    return error == 5 ? "invalid usage" : error == 6 ? "remote process exited" : "unhandled error";
  }

  bool DeviceIsBusy() const {
    return std::any_of(open_.begin(), open_.end(), [](const Comm* comm) {
      return !comm->aborting &&
             (comm->receiving != nullptr || !comm->meeting->messages[1 - comm->rank].empty());
    });
  }
  bool Deliver(Comm& comm) {
    if (comm.receiving == nullptr) return true;
    std::deque<std::string>& messages = comm.meeting->messages[comm.rank];
    if (messages.empty() || script_.never_delivers) return false;
    memcpy(comm.receiving, messages.front().data(),
           std::min(comm.receiving_bytes, messages.front().size()));
    messages.pop_front();
    comm.receiving = nullptr;
    return true;
  }

  static inline FakeNccl* current_ = nullptr;
  Mutex mutex_;
  Script script_;
  CondVar changed_;
  std::set<Comm*> open_;
  int64_t last_sent_bytes_ = 0;
  int num_ids_ = 0;
  int num_stuck_ = 0;
  std::map<std::string, std::shared_ptr<Meeting>> meetings_;
};

}  // namespace layercake
