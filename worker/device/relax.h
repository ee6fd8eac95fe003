#pragma once

namespace layercake {

// Tells the core that this thread is waiting in a loop.
void Relax();

}  // namespace layercake
