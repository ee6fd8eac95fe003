#include "coordinator/cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

namespace layercake {
namespace {

// What shells expect of a program that SIGINT ended.
constexpr int kExitInterrupted = 128 + SIGINT;

sigset_t InterruptSet() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  return signals;
}

}  // namespace

InterruptWatcher::InterruptWatcher() {
  const sigset_t signals = InterruptSet();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::thread([this] { Watch(); });
}

InterruptWatcher::~InterruptWatcher() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  pthread_kill(thread_.native_handle(), SIGINT);
  thread_.join();
}

void InterruptWatcher::Watch() {
  const sigset_t signals = InterruptSet();
  while (true) {
    int signal = 0;
    sigwait(&signals, &signal);
    MutexLock lock(mutex_);
    if (stopping_) return;
    if (context_ == nullptr) {
      [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, "\n", 1);
      _exit(kExitInterrupted);
    }
    context_->TryCancel();
  }
}

InterruptWatcher::Scope::Scope(InterruptWatcher& watcher, grpc::ClientContext& context)
    : watcher_(watcher) {
  MutexLock lock(watcher_.mutex_);
  watcher_.context_ = &context;
}

InterruptWatcher::Scope::~Scope() {
  MutexLock lock(watcher_.mutex_);
  watcher_.context_ = nullptr;
}

}  // namespace layercake
