#pragma once

// NCCL within one process, over host memory, and what goes wrong with it.
//
// Communicators of the same id find each other. A receive is in progress until the bytes are there,
// which is when the caller polls; a send is done at once.

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>

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
    bool corrupts = false;        // every message's first byte arrives changed
    bool never_delivers = false;  // receives hang
    int send_error = 0;           // e.g. 6, remote error: the peer is gone
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
    return num_open_;
  }
  void set_script(const Script& script) {
    MutexLock lock(mutex_);
    script_ = script;
  }

 private:
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
  };

  static int GetVersion(int* version) {
    *version = current_->script_.version;
    return 0;
  }
  static int GetUniqueId(NcclUniqueId* id) {
    static int next = 0;
    MutexLock lock(current_->mutex_);
    *id = {};
    const std::string name = "fake-" + std::to_string(++next);
    name.copy(id->bytes, sizeof(id->bytes));
    return 0;
  }
  static int Connect(NcclComm** comm, int num_ranks, NcclUniqueId id, int rank,
                     NcclConfig* config) {
    FakeNccl& self = *current_;
    MutexLock lock(self.mutex_);
    if (num_ranks != 2 || config->blocking != 0) return 4;
    if (self.script_.connect_error != 0) return self.script_.connect_error;
    std::shared_ptr<Meeting>& meeting = self.meetings_[std::string(id.bytes, sizeof(id.bytes))];
    if (meeting == nullptr) meeting = std::make_shared<Meeting>();
    ++meeting->arrived;
    ++self.num_open_;
    *comm = reinterpret_cast<NcclComm*>(new Comm{.meeting = meeting, .rank = rank});
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
    MutexLock lock(current_->mutex_);
    --current_->num_open_;
    delete reinterpret_cast<Comm*>(opaque);
    return 0;
  }
  static int Send(const void* data, size_t count, int, int peer, NcclComm* opaque, CUstream_st*) {
    FakeNccl& self = *current_;
    MutexLock lock(self.mutex_);
    if (self.script_.send_error != 0) return self.script_.send_error;
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
    return kNcclInProgress;
  }
  static const char* ErrorString(int error) {
    return error == 5 ? "invalid usage" : error == 6 ? "remote process exited" : "unhandled error";
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
  int num_open_ = 0;
  std::map<std::string, std::shared_ptr<Meeting>> meetings_;
};

}  // namespace layercake
