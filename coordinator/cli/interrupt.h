#pragma once

// Ctrl-C while a call runs ends the call; otherwise it ends the program.

#include <grpcpp/client_context.h>

#include <thread>

#include "absl/base/thread_annotations.h"
#include "common/base/mutex.h"

namespace layercake {

// Make one before anything that starts threads: it takes SIGINT from all threads made after it.
// Lives until the program ends, at most one per program.
class InterruptWatcher {
 public:
  InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;
  ~InterruptWatcher();

  // While it lives, an interrupt cancels `context`.
  class Scope {
   public:
    Scope(InterruptWatcher& watcher, grpc::ClientContext& context);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    InterruptWatcher& watcher_;
  };

 private:
  void Watch();

  Mutex mutex_;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace layercake
