#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "collective/algorithms.h"
#include "collective/nccl/library.h"
#include "collective/reduction.h"
#include "core/base/result.h"

namespace mobula::collective::nccl {

// One rank's side of an NCCL communicator that never blocks: whatever NCCL has only begun is asked after by poll().
//
// Operations are ordered by the stream that they are given, as kernels are: `begun` says that NCCL has put one into
// its stream, and the stream (cudaStreamSynchronize, an event) says when its buffers hold the result.  They are begun
// in the order of the calls, one at a time: a communicator that is still busy with one takes no other.
//
// One thread at a time, and the same device current as when it was made: NCCL allows nothing else, and aborting while
// another thread is inside NCCL can hang.  The buffers are memory of that device and stay until the stream is through.
//
// NCCL does not notice that another rank's process has died before its network does, if ever.  Whoever knows of it
// (collective/group.h) calls fail(), and then shrink() or the destructor.
class Communicator {
 public:
  enum class State : std::uint8_t {
    kJoining,  // The others have not all come.
    kReady,    // Nothing is being begun.
    kBusy,     // Operations wait to be begun.
    kLeaving,  // finish() was called.
    kFailed,   // error(); only shrink() is left.
    kGone,     // It has left in order.
  };
  struct Options {
    int max_ctas = 0;  // Blocks of the device that NCCL may take; 0: as many as it likes.
  };

  // Each rank calls it with the same id, which one of them has made (ncclGetUniqueId).  NCCL's own word where it
  // refuses at once.
  static base::Result<std::unique_ptr<Communicator>> join(const Library& library, const UniqueId& id, Place place,
                                                          const Options& options);
  ~Communicator();  // Aborts what has not left.
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  Place place() const { return place_; }
  State state() const { return state_; }
  const base::Error& error() const { return error_; }  // kFailed: why.
  std::uint64_t begun() const { return begun_; }       // Operations that are in their streams, in order.

  // Lets NCCL go on; begins what waits.  Cheap: one query.
  State poll();

  // ---- operations.  Each gives its number: it is in its stream once begun() >= that.  kInvalid where NCCL has no such
  // operation (bits, 16-bit integers, products of complex numbers); error() after a failure.  Counts are elements.
  base::Result<std::uint64_t> allreduce(const void* in, void* out, std::size_t count, DataType type, ReduceOp op,
                                        Stream stream);
  base::Result<std::uint64_t> reduce(const void* in, void* out, std::size_t count, DataType type, ReduceOp op, int root,
                                     Stream stream);
  // Rank r gets block r, `count` elements, of the reduction of `size` blocks.
  base::Result<std::uint64_t> reduce_scatter(const void* in, void* out, std::size_t count, DataType type, ReduceOp op,
                                             Stream stream);
  base::Result<std::uint64_t> broadcast(void* data, std::size_t bytes, int root, Stream stream);
  base::Result<std::uint64_t> allgather(const void* in, void* out, std::size_t bytes_each, Stream stream);
  base::Result<std::uint64_t> alltoall(const void* in, void* out, std::size_t bytes_each, Stream stream);
  base::Result<std::uint64_t> send(const void* in, std::size_t bytes, int to, Stream stream);
  base::Result<std::uint64_t> receive(void* out, std::size_t bytes, int from, Stream stream);

  // Memory that many operations use: NCCL may then go without copies, where it can.  Until it leaves or the buffer is
  // taken back.  No error where NCCL is too old to know of it.
  base::Result<void> add_buffer(void* buffer, std::size_t bytes);
  void remove_buffer(void* buffer);

  // All operations have been begun, and no other follows: poll() until kGone.
  void finish();
  // No operation follows.  The kernels that wait end, and leave anything in the buffers: at once where NCCL can revoke
  // (2.28.7) or cannot shrink this communicator anyhow, else when shrink() is called or this is destroyed.
  void fail(base::Error why);
  // Of a failed one: the ranks that are left, in the same order, when all of them call it with the same dead.
  // kUnavailable where NCCL is older than 2.27: join() anew with another id.
  base::Result<std::unique_ptr<Communicator>> shrink(const std::set<int>& dead);

 private:
  struct Reducing {
    enum class Kind : std::uint8_t { kAllreduce, kReduce, kReduceScatter } kind;
    const void* in;
    void* out;
    std::size_t count;
    Element type;
    Operation op;
    int root;
  };
  struct Moving {
    enum class Kind : std::uint8_t { kBroadcast, kAllgather, kAlltoall, kSend, kReceive } kind;
    const void* in;
    void* out;
    std::size_t bytes;
    int peer;  // Or root.
  };
  struct Waiting {
    std::variant<Reducing, Moving> what;
    Stream stream;
  };

  Communicator(const Library& library, Place place, const Options& options)
      : library_(library), place_(place), options_(options) {}

  Config config() const;
  base::Result<std::uint64_t> reducing(Reducing call, DataType type, ReduceOp op, Stream stream);
  base::Result<std::uint64_t> add(Waiting call);
  Status ask(Comm comm) const;
  Status begin(const Waiting& call);
  Status exchange(const Moving& call, Stream stream);
  void begin_waiting();
  void settle(Status status, const char* doing);
  std::string said(Status status) const;
  void abort();

  const Library& library_;
  Place place_;
  Options options_;
  Comm comm_ = nullptr;
  Comm parent_ = nullptr;  // Of a shrunken one, until it is there.
  State state_ = State::kJoining;
  bool in_progress_ = true;  // NCCL has begun something, and is not through.
  base::Error error_;
  std::deque<Waiting> waiting_;  // The first is in NCCL's hands while in_progress_ and kBusy.
  std::uint64_t begun_ = 0;
  std::uint64_t added_ = 0;
  std::map<void*, void*> buffers_;  // NCCL's handle of each.
};

}  // namespace mobula::collective::nccl
