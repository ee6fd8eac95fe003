#include <cstdint>

#include "tests/testing/simt/stack_switch.h"

extern "C" void layercake_simt_switch(void** from, void* to);
extern "C" void layercake_simt_enter();

// System V: a callee keeps rbx, rbp, r12 to r15. A new stack returns into `enter`, which finds its
// entry in r12 and the argument in r13.
asm(R"(
.text
.globl layercake_simt_switch
.type layercake_simt_switch, @function
layercake_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size layercake_simt_switch, .-layercake_simt_switch
.globl layercake_simt_enter
.type layercake_simt_enter, @function
layercake_simt_enter:
  movq %r13, %rdi
  callq *%r12
  ud2
.size layercake_simt_enter, .-layercake_simt_enter
.section .note.GNU-stack,"",@progbits
.text
)");

namespace layercake::simt {

void SwitchStack(void** from, void* to) { layercake_simt_switch(from, to); }

void* PrepareStack(char* stack, size_t bytes, void (*entry)(void*), void* argument) {
  // r15, r14, r13, r12, rbx, rbp, return address; then two words to be aligned to 16 bytes.
  auto* top = reinterpret_cast<uint64_t*>(stack + bytes) - 9;
  top[0] = top[1] = top[4] = top[5] = 0;
  top[2] = reinterpret_cast<uint64_t>(argument);
  top[3] = reinterpret_cast<uint64_t>(entry);
  top[6] = reinterpret_cast<uint64_t>(&layercake_simt_enter);
  return top;
}

}  // namespace layercake::simt
