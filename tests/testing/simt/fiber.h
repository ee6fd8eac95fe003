#pragma once

// Stacks that a thread can switch between: what an emulated CUDA thread runs on.

#include <cstddef>

namespace layercake::simt {

// One stack and where it stands. Used by the thread that made it only. Known to AddressSanitizer;
// to ThreadSanitizer all fibers of a thread are that thread.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Begins `entry(argument)` on this stack, and returns when it yields or has ended. What was on
  // the stack before is dropped, without destructors.
  void Start(void (*entry)(void*), void* argument);
  // Goes on where Yield was called. REQUIRES: started, and not ended.
  void Resume();
  // Back to Start or Resume. REQUIRES: called on this fiber's stack.
  void Yield();
  bool ended() const { return ended_; }

 private:
  static void Run(void* self);
  void Enter();
  void Leave(bool for_good);

  char* stack_;
  void* position_ = nullptr;  // of the fiber, while it does not run
  void* caller_ = nullptr;    // of whoever started or resumed it, while it runs
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool ended_ = true;

  // What AddressSanitizer wants to be told.
  void* fake_stack_ = nullptr;
  void* caller_fake_stack_ = nullptr;
  const void* caller_stack_ = nullptr;
  size_t caller_stack_bytes_ = 0;
};

}  // namespace layercake::simt
