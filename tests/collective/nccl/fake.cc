#include "tests/collective/nccl/fake.h"

#include <algorithm>
#include <utility>

namespace mobula::collective::nccl {
namespace {

FakeNccl* fake = nullptr;
std::uintptr_t next_comm = 0x1000;

Comm make_comm() {
  const Comm comm = reinterpret_cast<Comm>(next_comm += 0x10);
  fake->alive.push_back(comm);
  return comm;
}

Status answer(Comm comm) {
  Status out = kSuccess;
  if (!fake->answers.empty()) {
    out = fake->answers.front();
    fake->answers.pop_front();
  }
  if (out == kInProgress && comm != nullptr) fake->async_error[comm] = kInProgress;
  return out;
}

Status note(std::string call, Comm comm) {
  if (const auto it = fake->async_error.find(comm); it != fake->async_error.end() && it->second == kInProgress)
    fake->busy_is_misused = true;
  fake->calls.push_back(std::move(call));
  return answer(comm);
}

Status end(const char* how, Comm comm) {
  fake->calls.emplace_back(how);
  std::erase(fake->alive, comm);
  return kSuccess;
}

std::string reducing(const char* name, std::size_t count, Element type, Operation op) {
  return std::string(name) + " " + std::to_string(count) + " of type " + std::to_string(type) + " by " +
         std::to_string(op);
}

std::string moving(const char* name, std::size_t bytes) { return std::string(name) + " " + std::to_string(bytes); }

}  // namespace

FakeNccl::FakeNccl() {
  fake = this;
  library.version = 22900;
  library.get_unique_id = [](UniqueId* id) {
    id->internal[0] = 'x';
    return kSuccess;
  };
  library.comm_init_rank_config = [](Comm* comm, int size, UniqueId, int rank, Config* config) {
    *comm = make_comm();
    return note(
        "join " + std::to_string(rank) + " of " + std::to_string(size) + (config->blocking == 0 ? "" : " blocking"),
        *comm);
  };
  library.comm_get_async_error = [](Comm comm, Status* error) {
    const auto it = fake->async_error.find(comm);
    *error = it == fake->async_error.end() ? kSuccess : it->second;
    return kSuccess;
  };
  library.comm_finalize = [](Comm comm) { return note("finalize", comm); };
  library.comm_destroy = [](Comm comm) { return end("destroy", comm); };
  library.comm_abort = [](Comm comm) { return end("abort", comm); };
  library.get_error_string = [](Status status) { return status == kRemoteError ? "remote error" : "some error"; };
  library.get_last_error = [](Comm) { return fake->last_error.c_str(); };
  library.group_start = [] { return fake->calls.emplace_back("("), kSuccess; };
  library.group_end = [] { return fake->calls.emplace_back(")"), answer(fake->alive.back()); };
  library.all_reduce = [](const void*, void*, std::size_t count, Element type, Operation op, Comm comm, Stream) {
    return note(reducing("allreduce", count, type, op), comm);
  };
  library.reduce = [](const void*, void*, std::size_t count, Element type, Operation op, int root, Comm comm, Stream) {
    return note(reducing("reduce", count, type, op) + " to " + std::to_string(root), comm);
  };
  library.broadcast = [](const void*, void*, std::size_t count, Element, int root, Comm comm, Stream) {
    return note(moving("broadcast", count) + " from " + std::to_string(root), comm);
  };
  library.all_gather = [](const void*, void*, std::size_t count, Element, Comm comm, Stream) {
    return note(moving("allgather", count), comm);
  };
  library.reduce_scatter = [](const void*, void*, std::size_t count, Element type, Operation op, Comm comm, Stream) {
    return note(reducing("reduce_scatter", count, type, op), comm);
  };
  // Within a group nothing is begun, and nothing answered.
  library.send = [](const void*, std::size_t count, Element, int peer, Comm, Stream) {
    return fake->calls.push_back(moving("send", count) + " to " + std::to_string(peer)), kSuccess;
  };
  library.recv = [](void*, std::size_t count, Element, int peer, Comm, Stream) {
    return fake->calls.push_back(moving("recv", count) + " from " + std::to_string(peer)), kSuccess;
  };
  library.comm_register = [](Comm comm, void* buffer, std::size_t bytes, void** handle) {
    *handle = buffer;
    return note(moving("register", bytes), comm);
  };
  library.comm_deregister = [](Comm comm, void*) { return note("deregister", comm); };
  library.comm_revoke = [](Comm, int) { return fake->calls.emplace_back("revoke"), kSuccess; };
  library.comm_shrink = [](Comm comm, int* excluded, int count, Comm* out, Config*, int flags) {
    std::string call = "shrink without";
    for (int i = 0; i < count; ++i) call += " " + std::to_string(excluded[i]);
    fake->async_error.erase(comm);
    const Status status = note(call + (flags == kShrinkAbort ? ", aborting" : ""), comm);
    *out = status == kSuccess || status == kInProgress ? make_comm() : nullptr;
    return status;
  };
}

FakeNccl::~FakeNccl() { fake = nullptr; }

}  // namespace mobula::collective::nccl
