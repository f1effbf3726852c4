#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <vector>

#include "core/os/process.h"
#include "tests/objstore/node.h"

namespace mobula::objstore {

// What a child asks its raylet, the parent, over a socket pair.
struct Request {
  enum class Kind : std::uint32_t { kLease, kReturn, kFree } kind;
  std::uint64_t a = 0;  // Bytes; the slab's offset; the object's number.
  std::uint64_t b = 0;  // The slab's size.
};
struct Reply {
  bool ok = false;
  SlabGrant slab;
};

// In a child: a client and the way to its raylet.
struct ChildSide {
  StoreClient client;
  int socket;

  Reply ask(const Request& request) const {
    Reply reply;
    if (::write(socket, &request, sizeof request) != sizeof request) ::_exit(3);
    if (::read(socket, &reply, sizeof reply) != sizeof reply) ::_exit(3);
    return reply;
  }
  std::optional<Allocation> allocate(std::size_t size) {
    for (;;) {
      if (auto allocation = client.allocate(size)) return std::move(*allocation);
      const Reply reply = ask({Request::Kind::kLease, client.slab_bytes_needed(), 0});
      if (!reply.ok || !client.add_slab(reply.slab)) return std::nullopt;
    }
  }
};

struct Child {
  pid_t pid = -1;
  SlotId slot = 0;
  os::Fd socket;
};

// Forks a process that attaches, runs `body` and exits with what it returns.  Single-threaded callers only.
inline Child start_child(Store& store, const std::function<int(ChildSide&)>& body) {
  const auto grant = store.attach(0);
  EXPECT_TRUE(grant);
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  Child child{::fork(), grant->slot, os::Fd(ends[0])};
  if (child.pid == 0) {
    os::die_with_parent(::getppid());
    child.socket.reset();
    auto client = StoreClient::attach(duplicate(grant->control_fd), duplicate(grant->data_fd), grant->slot);
    if (!client) ::_exit(2);
    ChildSide side{std::move(*client), ends[1]};
    ::_exit(body(side));
  }
  ::close(ends[1]);
  return child;
}

// Answers one request if there is one.  False: the child's end is closed.
inline bool serve(Store& store, const Child& child, const std::function<base::ObjectId(std::uint64_t)>& id) {
  Request request{};
  const ssize_t n = ::recv(child.socket.get(), &request, sizeof request, MSG_DONTWAIT);
  if (n < 0) return true;
  if (n != sizeof request) return false;
  Reply reply;
  if (request.kind == Request::Kind::kLease) {
    const auto slab = store.lease_slab_reserving(child.slot, request.a);
    reply.ok = slab.ok();
    if (slab) reply.slab = *slab;
  } else if (request.kind == Request::Kind::kReturn) {
    reply.ok = store.return_slab(child.slot, {request.a, request.b}).ok();
  } else {
    reply.ok = store.free(id(request.a));
  }
  return ::send(child.socket.get(), &reply, sizeof reply, MSG_NOSIGNAL) == sizeof reply;
}

inline int wait_status(pid_t pid) {
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return status;
}

}  // namespace mobula::objstore
