#include "worker/device/card_lock.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace layercake {
namespace {

// Abstract: it begins with a zero byte, and no file stands for it.
sockaddr_un Name(const std::string& uuid, socklen_t* length) {
  const std::string name = absl::StrCat("layercake-worker/", uuid);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const size_t size = std::min(name.size(), sizeof(address.sun_path) - 1);
  memcpy(address.sun_path + 1, name.data(), size);
  *length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
  return address;
}

// Who listens at that name; 0 if nobody says. It stays in the listener's queue, since nobody
// accepts.
pid_t Holder(const sockaddr_un& address, socklen_t length) {
  const int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (connect(peer, reinterpret_cast<const sockaddr*>(&address), length) == 0) {
    getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &credentials, &size);
  }
  close(peer);
  return credentials.pid;
}

}  // namespace

absl::StatusOr<CardLock> CardLock::Take(const std::string& uuid) {
  socklen_t length = 0;
  const sockaddr_un address = Name(uuid, &length);
  CardLock lock(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (bind(lock.socket_, reinterpret_cast<const sockaddr*>(&address), length) == 0 &&
      listen(lock.socket_, SOMAXCONN) == 0) {
    return lock;
  }
  if (errno != EADDRINUSE) {
    return absl::InternalError(
        absl::StrCat("cannot claim card ", uuid, " for this worker: ", strerror(errno)));
  }
  const pid_t pid = Holder(address, length);
  return absl::AlreadyExistsError(absl::StrCat(
      "card ", uuid, " already has a worker", pid > 0 ? absl::StrCat(" (process ", pid, ")") : "",
      "; one worker uses all of a card: stop that one, or name another --device"));
}

CardLock::~CardLock() {
  if (socket_ >= 0) close(socket_);
}

}  // namespace layercake
