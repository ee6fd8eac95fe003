#include <ucontext.h>

#include <cstdint>

#include "tests/testing/simt/stack_switch.h"

namespace layercake::simt {
namespace {

// At the foot of a new stack; makecontext passes ints only.
struct Start {
  ucontext_t context;
  void (*entry)(void*);
  void* argument;
};

void Enter(uint32_t high, uint32_t low) {
  const auto* start = reinterpret_cast<const Start*>(uint64_t{high} << 32 | low);
  start->entry(start->argument);
}

}  // namespace

void SwitchStack(void** from, void* to) {
  ucontext_t here;
  *from = &here;
  swapcontext(&here, static_cast<ucontext_t*>(to));
}

void* PrepareStack(char* stack, size_t bytes, void (*entry)(void*), void* argument) {
  auto* start = reinterpret_cast<Start*>(stack);
  getcontext(&start->context);
  start->entry = entry;
  start->argument = argument;
  start->context.uc_stack.ss_sp = stack + sizeof(Start);
  start->context.uc_stack.ss_size = bytes - sizeof(Start);
  start->context.uc_link = nullptr;
  const auto address = reinterpret_cast<uint64_t>(start);
  makecontext(&start->context, reinterpret_cast<void (*)()>(Enter), 2,
              static_cast<uint32_t>(address >> 32), static_cast<uint32_t>(address));
  return &start->context;
}

}  // namespace layercake::simt
