#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "collective/half.h"
#include "collective/reduction.h"
#include "core/worker/collective_runtime.h"

namespace mobula {

using collective::bfloat16;
using collective::float16;

enum class ReduceOp : std::uint8_t { sum, prod, min, max, avg, band, bor, bxor };

namespace detail {

const collective::Reduction& reduction_of(collective::DataType type, ReduceOp op);  // Throws InvalidArgument.
std::uint32_t reduction_id(const std::type_info& tag);

// A user's own operation: T f(T, T), associative and commutative.
template <class T, class F>
const collective::Reduction& reduction_of(F) {
  static_assert(std::is_empty_v<F> && std::is_default_constructible_v<F>,
                "mobula: a reduction is a function object without state, such as a lambda that captures nothing");
  static_assert(std::is_trivially_copyable_v<T>, "mobula: what is reduced is a trivially copyable value");
  static const collective::Reduction made{sizeof(T),
                                          [](void* into, const void* first, const void* second, std::size_t count) {
                                            auto* to = static_cast<T*>(into);
                                            const auto* a = static_cast<const T*>(first);
                                            const auto* b = static_cast<const T*>(second);
                                            for (std::size_t i = 0; i < count; ++i) to[i] = F{}(a[i], b[i]);
                                          },
                                          nullptr, reduction_id(typeid(std::pair<T, F>))};
  return made;
}
template <class T>
const collective::Reduction& reduction_of(ReduceOp op) {
  static_assert(
      collective::kIsReducible<T>,
      "mobula: reductions know integers, float, double, float16, bfloat16 and complex numbers; for other types "
      "give a function T(T, T)");
  return reduction_of(collective::data_type_of<T>(), op);
}

runtime::PendingCollective begin_collective(const runtime::CollectiveCall& call);
bool collective_ended(const runtime::PendingCollective& pending);
void await_collective(const runtime::PendingCollective& pending);  // Throws CollectiveError.
void check_root(int root, int size);
void check_length(std::size_t given, std::size_t wanted, const char* what);
std::size_t sum_of(std::span<const std::size_t> counts, int size);

}  // namespace detail

// A collective under way.  Its buffers must stay as they are until wait() has returned.  wait() throws CollectiveError;
// so does nothing else.  May be waited for more than once.
class [[nodiscard]] CollectiveHandle {
 public:
  explicit CollectiveHandle(runtime::PendingCollective pending) : pending_(std::move(pending)) {}
  bool ready() const { return detail::collective_ended(pending_); }
  void wait() const { detail::await_collective(pending_); }

 private:
  runtime::PendingCollective pending_;
};

// A group as one of its members sees it: self() in a member's methods, or a part of it from split().
//
// Every member makes the same collective calls in the same order, with the same lengths where nothing else is said.
// Each call blocks until this member's part is done; the *_async form returns at once, on all members or on none. Calls
// throw CollectiveError on every member soon after a member has died, and when calls do not fit each other; the group
// takes no calls after that until shrink() or rebuild().
//
// Lengths are in elements.  Reductions work in place where one span is given.  Results of a reduction are the same bits
// on every rank, and from run to run for the same shape of the group.
//
// Any thread of the member may call, one call order for all of them.  Copies mean the same group.
class Communicator {
 public:
  int rank = 0;
  int size = 1;

  Communicator() = default;
  Communicator(int own_rank, int group_size) : rank(own_rank), size(group_size) {}
  Communicator(int own_rank, int group_size, collective::GroupKey key) : rank(own_rank), size(group_size), key_(key) {}

  void barrier() const { run(collective::Operation::kBarrier, 0, 0, 1); }
  CollectiveHandle barrier_async() const { return begin(collective::Operation::kBarrier, 0, 0, 1); }

  // The root's data becomes everybody's.
  template <class T>
  void broadcast(std::span<T> data, int root = 0) const {
    run(collective::Operation::kBroadcast, root, data.size(), sizeof(T), data.data(), data.data());
  }
  template <class T>
  CollectiveHandle broadcast_async(std::span<T> data, int root = 0) const {
    return begin(collective::Operation::kBroadcast, root, data.size(), sizeof(T), data.data(), data.data());
  }

  // Everybody's data becomes the reduction of all.  `op` is a ReduceOp or a function T(T, T).
  template <class T, class Op = ReduceOp>
  void allreduce(std::span<T> data, Op op = {}) const {
    run(collective::Operation::kAllreduce, 0, data.size(), sizeof(T), data.data(), data.data(),
        &detail::reduction_of<T>(op));
  }
  template <class T, class Op = ReduceOp>
  CollectiveHandle allreduce_async(std::span<T> data, Op op = {}) const {
    return begin(collective::Operation::kAllreduce, 0, data.size(), sizeof(T), data.data(), data.data(),
                 &detail::reduction_of<T>(op));
  }
  template <class T, class Op = ReduceOp>
  void allreduce(std::span<const T> in, std::span<std::type_identity_t<T>> out, Op op = {}) const {
    detail::check_length(out.size(), in.size(), "the result of an allreduce");
    run(collective::Operation::kAllreduce, 0, in.size(), sizeof(T), in.data(), out.data(),
        &detail::reduction_of<T>(op));
  }

  // The root's `out` becomes the reduction of all; elsewhere `out` may be empty.
  template <class T, class Op = ReduceOp>
  void reduce(std::span<const T> in, std::span<std::type_identity_t<T>> out, Op op = {}, int root = 0) const {
    if (rank == root) detail::check_length(out.size(), in.size(), "the result of a reduce");
    run(collective::Operation::kReduce, root, in.size(), sizeof(T), in.data(), out.data(),
        &detail::reduction_of<T>(op));
  }

  // Block r of the reduction of all becomes rank r's `out`; `in` is size times as long.
  template <class T, class Op = ReduceOp>
  void reduce_scatter(std::span<const T> in, std::span<std::type_identity_t<T>> out, Op op = {}) const {
    detail::check_length(in.size(), out.size() * static_cast<std::size_t>(size), "the input of a reduce_scatter");
    run(collective::Operation::kReduceScatter, 0, out.size(), sizeof(T), in.data(), out.data(),
        &detail::reduction_of<T>(op));
  }

  // Everybody's `out` becomes all `in` in rank order; `out` is size times as long.
  template <class T>
  void allgather(std::span<const T> in, std::span<std::type_identity_t<T>> out) const {
    detail::check_length(out.size(), in.size() * static_cast<std::size_t>(size), "the result of an allgather");
    run(collective::Operation::kAllgather, 0, in.size(), sizeof(T), in.data(), out.data());
  }
  // The same with blocks of different lengths: counts[r] is rank r's.
  template <class T>
  void allgatherv(std::span<const T> in, std::span<std::type_identity_t<T>> out,
                  std::span<const std::size_t> counts) const {
    detail::check_length(out.size(), detail::sum_of(counts, size), "the result of an allgatherv");
    detail::check_length(in.size(), counts[static_cast<std::size_t>(rank)], "the input of an allgatherv");
    run(collective::Operation::kAllgather, 0, 0, sizeof(T), in.data(), out.data(), nullptr, counts);
  }

  // The root's `out` becomes all `in` in rank order; elsewhere `out` may be empty.
  template <class T>
  void gather(std::span<const T> in, std::span<std::type_identity_t<T>> out, int root = 0) const {
    if (rank == root)
      detail::check_length(out.size(), in.size() * static_cast<std::size_t>(size), "the result of a gather");
    run(collective::Operation::kGather, root, in.size(), sizeof(T), in.data(), out.data());
  }
  template <class T>
  void gatherv(std::span<const T> in, std::span<std::type_identity_t<T>> out, std::span<const std::size_t> counts,
               int root = 0) const {
    if (rank == root) detail::check_length(out.size(), detail::sum_of(counts, size), "the result of a gatherv");
    detail::check_length(in.size(), counts[static_cast<std::size_t>(rank)], "the input of a gatherv");
    run(collective::Operation::kGather, root, 0, sizeof(T), in.data(), out.data(), nullptr, counts);
  }

  // Block r of the root's `in` becomes rank r's `out`; elsewhere `in` may be empty.
  template <class T>
  void scatter(std::span<const T> in, std::span<std::type_identity_t<T>> out, int root = 0) const {
    if (rank == root)
      detail::check_length(in.size(), out.size() * static_cast<std::size_t>(size), "the input of a scatter");
    run(collective::Operation::kScatter, root, out.size(), sizeof(T), in.data(), out.data());
  }

  // Block s of rank r's `in` becomes block r of rank s's `out`.  The spans must not share memory.
  template <class T>
  void alltoall(std::span<const T> in, std::span<std::type_identity_t<T>> out) const {
    detail::check_length(out.size(), in.size(), "the result of an alltoall");
    detail::check_length(in.size() % static_cast<std::size_t>(size), 0, "what is left over of an alltoall's blocks");
    run(collective::Operation::kAlltoall, 0, in.size() / static_cast<std::size_t>(size), sizeof(T), in.data(),
        out.data());
  }
  // The same with blocks of different lengths: to each rank sends[r] elements, from each receives[r].
  template <class T>
  void alltoallv(std::span<const T> in, std::span<const std::size_t> sends, std::span<std::type_identity_t<T>> out,
                 std::span<const std::size_t> receives) const {
    detail::check_length(in.size(), detail::sum_of(sends, size), "the input of an alltoallv");
    detail::check_length(out.size(), detail::sum_of(receives, size), "the result of an alltoallv");
    run(collective::Operation::kAlltoall, 0, 0, sizeof(T), in.data(), out.data(), nullptr, sends, receives);
  }

  // Rank r's `out` becomes the reduction of the `in` of ranks 0 .. r; exclusive: 0 .. r - 1, and rank 0's stays.
  template <class T, class Op = ReduceOp>
  void scan(std::span<const T> in, std::span<std::type_identity_t<T>> out, Op op = {}) const {
    detail::check_length(out.size(), in.size(), "the result of a scan");
    run(collective::Operation::kScan, 0, in.size(), sizeof(T), in.data(), out.data(), &detail::reduction_of<T>(op));
  }
  template <class T, class Op = ReduceOp>
  void exclusive_scan(std::span<const T> in, std::span<std::type_identity_t<T>> out, Op op = {}) const {
    detail::check_length(out.size(), in.size(), "the result of an exclusive_scan");
    run(collective::Operation::kExclusiveScan, 0, in.size(), sizeof(T), in.data(), out.data(),
        &detail::reduction_of<T>(op));
  }

  // Messages between two members, in order, of the same length on both sides.  A send returns when `data` may change;
  // it may wait for the receiver.
  template <class T>
  void send(int to, std::span<const T> data) const {
    send_async(to, data).wait();
  }
  template <class T>
  void recv(int from, std::span<T> data) const {
    recv_async(from, data).wait();
  }
  template <class T>
  CollectiveHandle send_async(int to, std::span<const T> data) const {
    return message(to, -1, data.size_bytes(), data.data(), nullptr);
  }
  template <class T>
  CollectiveHandle recv_async(int from, std::span<T> data) const {
    return message(-1, from, data.size_bytes(), nullptr, data.data());
  }
  template <class T>
  void sendrecv(int to, std::span<const T> out, int from, std::span<std::type_identity_t<T>> in) const {
    const CollectiveHandle sending = send_async(to, out);
    recv(from, in);
    sending.wait();
  }

  // A call of all members: those with the same color form a group of their own, ranked by key, then by rank here.  A
  // negative color is in none: what it gets is a group of itself alone.
  Communicator split(int color, int key = 0) const;

  // How a group goes on that has failed: a call of all members that live, each in its own time, which ends the group
  // for those that have not seen it fail yet.  All get the same members, in the next epoch(); where a member dies
  // meanwhile, they agree anew.  What is returned is the group from then on, and so is self() where this is self()'s
  // group; no other thread may be in a call of it meanwhile.  Copies of the group that has failed, and parts of it,
  // stay failed.
  //
  // Throws CollectiveError when a member lives and does not come (collective_patience_s), when others call the other of
  // the two, and on a member that the others held for dead and left out.
  //
  // shrink(): those that live are ranked anew, in the order of their ranks.
  Communicator shrink() const;
  // rebuild(): each dead member is started again, under its rank, where its max_restarts allow it; one that hangs is
  // killed before.  The new process runs the constructor and then load(), as after any restart, and is in no group (its
  // calls throw CollectiveError) until it calls self().rebuild() too; with max_task_retries, the method that it died in
  // is called again.  Only for self().  Throws on all members when one cannot be started again.
  Communicator rebuild() const;
  // 1 for a new group; grows with each shrink() and rebuild().  0: this member was started again, see rebuild().
  std::uint32_t epoch() const { return key_.epoch; }

 private:
  Communicator recover(collective::Recovery how) const;
  void run(collective::Operation operation, int root, std::size_t count, std::size_t element_bytes,
           const void* in = nullptr, void* out = nullptr, const collective::Reduction* reduction = nullptr,
           std::span<const std::size_t> counts = {}, std::span<const std::size_t> receives = {}) const;
  CollectiveHandle begin(collective::Operation operation, int root, std::size_t count, std::size_t element_bytes,
                         const void* in = nullptr, void* out = nullptr,
                         const collective::Reduction* reduction = nullptr, std::span<const std::size_t> counts = {},
                         std::span<const std::size_t> receives = {}) const;
  CollectiveHandle message(int to, int from, std::size_t bytes, const void* out, void* in) const;

  collective::GroupKey key_;
  mutable std::uint32_t splits_ = 0;
};

// This actor's group.  Outside groups: rank 0 of 1.
const Communicator& self();

namespace detail {

// This process is to be a member, says the constructor of one.
void become_member(int rank, int size, std::uint64_t group);

}  // namespace detail

}  // namespace mobula
