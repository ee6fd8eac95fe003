#include "tests/testing/simt/fiber.h"

#include <sys/mman.h>

#include "common/base/logging.h"
#include "tests/testing/simt/sanitizers.h"
#include "tests/testing/simt/stack_switch.h"

namespace layercake::simt {
namespace {

constexpr size_t kGuardBytes = 4096;
constexpr size_t kStackBytes = kAddressSanitizer ? 256 << 10 : 64 << 10;

}  // namespace

Fiber::Fiber() {
  void* data = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PCHECK(data != MAP_FAILED);
  PCHECK(mprotect(data, kGuardBytes, PROT_NONE) == 0);
  stack_ = static_cast<char*>(data) + kGuardBytes;
}

Fiber::~Fiber() { munmap(stack_ - kGuardBytes, kGuardBytes + kStackBytes); }

void Fiber::Run(void* self) {
  auto* fiber = static_cast<Fiber*>(self);
  FinishSwitch(nullptr, &fiber->caller_stack_, &fiber->caller_stack_bytes_);
  fiber->entry_(fiber->argument_);
  fiber->ended_ = true;
  fiber->Leave(/*for_good=*/true);
}

void Fiber::Start(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  if (!ended_) ForgetStack(stack_, kStackBytes);
  ended_ = false;
  fake_stack_ = nullptr;
  position_ = PrepareStack(stack_, kStackBytes, &Run, this);
  Enter();
}

void Fiber::Resume() {
  DCHECK(!ended_);
  Enter();
}

void Fiber::Yield() { Leave(/*for_good=*/false); }

void Fiber::Enter() {
  StartSwitch(&caller_fake_stack_, stack_, kStackBytes);
  SwitchStack(&caller_, position_);
  FinishSwitch(caller_fake_stack_, nullptr, nullptr);
}

void Fiber::Leave(bool for_good) {
  StartSwitch(for_good ? nullptr : &fake_stack_, caller_stack_, caller_stack_bytes_);
  SwitchStack(&position_, caller_);
  FinishSwitch(fake_stack_, &caller_stack_, &caller_stack_bytes_);
}

}  // namespace layercake::simt
