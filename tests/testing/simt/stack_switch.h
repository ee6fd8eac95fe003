#pragma once

#include <cstddef>

namespace layercake::simt {

// Saves where this thread stands to `*from`, and goes on at `to`, which an earlier call saved.
void SwitchStack(void** from, void* to);

// Where a new stack stands: switching there calls `entry(argument)`, which must not return.
void* PrepareStack(char* stack, size_t bytes, void (*entry)(void*), void* argument);

}  // namespace layercake::simt
