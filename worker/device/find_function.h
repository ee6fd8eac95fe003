#pragma once

// Functions of libraries that are found when the program runs.

#include <dlfcn.h>

namespace layercake {

// Sets `*function` to that of the library's that has this name. False, and null: it has none.
//   library: as dlopen returned it.
template <typename Function>
bool FindFunction(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

}  // namespace layercake
