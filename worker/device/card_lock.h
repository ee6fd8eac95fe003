#pragma once

// One worker per card: two would each plan with memory that the other takes.

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace layercake {

// Holds a card until destroyed, or until the process ends in whatever way: the lock is a socket's
// name, which the kernel frees. Processes in other network namespaces (containers) are not seen.
class CardLock {
 public:
  // `uuid`: the card's.
  // Errors: AlreadyExists (another worker has it: says which process); Internal (no sockets).
  static absl::StatusOr<CardLock> Take(const std::string& uuid);

  CardLock() = default;
  ~CardLock();
  CardLock(CardLock&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  CardLock& operator=(CardLock&& other) noexcept {
    std::swap(socket_, other.socket_);
    return *this;
  }

 private:
  explicit CardLock(int socket) : socket_(socket) {}

  int socket_ = -1;
};

}  // namespace layercake
