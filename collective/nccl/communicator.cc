#include "collective/nccl/communicator.h"

#include <optional>
#include <utility>

namespace mobula::collective::nccl {
namespace {

using base::Code;
using base::Error;
using base::Result;

struct Elements {
  Element type;
  std::size_t per_value;
};

// A complex number is summed as two real ones.
std::optional<Elements> elements_of(DataType type, ReduceOp op) {
  switch (type) {
    case DataType::kInt8: return Elements{kNcclInt8, 1};
    case DataType::kUint8: return Elements{kNcclUint8, 1};
    case DataType::kInt32: return Elements{kNcclInt32, 1};
    case DataType::kUint32: return Elements{kNcclUint32, 1};
    case DataType::kInt64: return Elements{kNcclInt64, 1};
    case DataType::kUint64: return Elements{kNcclUint64, 1};
    case DataType::kFloat16: return Elements{kNcclFloat16, 1};
    case DataType::kBfloat16: return Elements{kNcclBfloat16, 1};
    case DataType::kFloat32: return Elements{kNcclFloat32, 1};
    case DataType::kFloat64: return Elements{kNcclFloat64, 1};
    case DataType::kComplex64:
    case DataType::kComplex128: break;
    case DataType::kInt16:
    case DataType::kUint16: return std::nullopt;
  }
  if (op != ReduceOp::kSum && op != ReduceOp::kAverage) return std::nullopt;
  return Elements{type == DataType::kComplex64 ? kNcclFloat32 : kNcclFloat64, 2};
}

std::optional<Operation> operation_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum: return kNcclSum;
    case ReduceOp::kProduct: return kNcclProd;
    case ReduceOp::kMin: return kNcclMin;
    case ReduceOp::kMax: return kNcclMax;
    case ReduceOp::kAverage: return kNcclAvg;
    case ReduceOp::kBitAnd:
    case ReduceOp::kBitOr:
    case ReduceOp::kBitXor: break;
  }
  return std::nullopt;
}

Code code_of(Status status) {
  switch (status) {
    case kInvalidArgument:
    case kInvalidUsage: return Code::kInvalid;
    case kRemoteError: return Code::kLost;
    default: return Code::kUnavailable;
  }
}

const char* at(const void* memory, std::size_t bytes) { return static_cast<const char*>(memory) + bytes; }

}  // namespace

Config Communicator::config() const {
  Config out;
  out.blocking = 0;
  if (options_.max_ctas > 0) out.max_ctas = options_.max_ctas;
  return out;
}

Result<std::unique_ptr<Communicator>> Communicator::join(const Library& library, const UniqueId& id, Place place,
                                                         const Options& options) {
  auto out = std::unique_ptr<Communicator>(new Communicator(library, place, options));
  Config config = out->config();
  out->settle(library.comm_init_rank_config(&out->comm_, place.size, id, place.rank, &config), "joining");
  if (out->state_ == State::kFailed) return out->error_;
  return out;
}

Communicator::~Communicator() { abort(); }

Communicator::State Communicator::poll() {
  if (state_ == State::kFailed || state_ == State::kGone || !in_progress_) return state_;
  // Of one that is still being made out of another its parent knows.
  Status status = parent_ != nullptr ? ask(parent_) : kSuccess;
  if (status == kSuccess) status = comm_ != nullptr ? ask(comm_) : kInternalError;
  settle(status, state_ == State::kJoining ? "joining" : "an operation");
  return state_;
}

Status Communicator::ask(Comm comm) const {
  Status status = kSuccess;
  const Status answered = library_.comm_get_async_error(comm, &status);
  return answered != kSuccess ? answered : status;
}

// NCCL's answer to what it was asked to do last.
void Communicator::settle(Status status, const char* doing) {
  in_progress_ = status == kInProgress;
  if (in_progress_) return;
  if (status != kSuccess) {
    return fail({code_of(status), std::string(doing) + " failed on rank " + std::to_string(place_.rank) + " of " +
                                      std::to_string(place_.size) + ": " + said(status)});
  }
  if (state_ == State::kLeaving) {
    library_.comm_destroy(std::exchange(comm_, nullptr));
    state_ = State::kGone;
    return;
  }
  if (state_ == State::kJoining) {
    if (parent_ != nullptr) library_.comm_abort(std::exchange(parent_, nullptr));
    state_ = waiting_.empty() ? State::kReady : State::kBusy;
  } else if (state_ == State::kBusy) {
    waiting_.pop_front();
    ++begun_;
  }
  begin_waiting();
}

void Communicator::begin_waiting() {
  while (!waiting_.empty() && !in_progress_ && state_ != State::kFailed) {
    state_ = State::kBusy;
    const Status status = begin(waiting_.front());
    if (status != kSuccess) return settle(status, "an operation");
    waiting_.pop_front();
    ++begun_;
  }
  if (waiting_.empty() && state_ == State::kBusy) state_ = State::kReady;
}

Result<std::uint64_t> Communicator::add(Waiting call) {
  if (state_ == State::kFailed) return error_;
  if (state_ == State::kLeaving || state_ == State::kGone)
    return Error{Code::kInvalid, "this NCCL communicator has been finished: no operation can follow"};
  waiting_.push_back(std::move(call));
  const std::uint64_t number = ++added_;
  if (state_ != State::kJoining && !in_progress_) begin_waiting();
  if (state_ == State::kFailed) return error_;
  return number;
}

Result<std::uint64_t> Communicator::reducing(Reducing call, DataType type, ReduceOp op, Stream stream) {
  const auto operation = operation_of(op);
  const auto elements = elements_of(type, op);
  if (!operation || !elements)
    return Error{Code::kInvalid, std::string("NCCL has no ") + name_of(op) + " of " + name_of(type) +
                                     ": copy to host memory and reduce there"};
  call.op = *operation;
  call.type = elements->type;
  call.count *= elements->per_value;
  return add({call, stream});
}

Result<std::uint64_t> Communicator::allreduce(const void* in, void* out, std::size_t count, DataType type, ReduceOp op,
                                              Stream stream) {
  return reducing({Reducing::Kind::kAllreduce, in, out, count, {}, {}, 0}, type, op, stream);
}

Result<std::uint64_t> Communicator::reduce(const void* in, void* out, std::size_t count, DataType type, ReduceOp op,
                                           int root, Stream stream) {
  return reducing({Reducing::Kind::kReduce, in, out, count, {}, {}, root}, type, op, stream);
}

Result<std::uint64_t> Communicator::reduce_scatter(const void* in, void* out, std::size_t count, DataType type,
                                                   ReduceOp op, Stream stream) {
  return reducing({Reducing::Kind::kReduceScatter, in, out, count, {}, {}, 0}, type, op, stream);
}

Result<std::uint64_t> Communicator::broadcast(void* data, std::size_t bytes, int root, Stream stream) {
  return add({Moving{Moving::Kind::kBroadcast, data, data, bytes, root}, stream});
}

Result<std::uint64_t> Communicator::allgather(const void* in, void* out, std::size_t bytes_each, Stream stream) {
  return add({Moving{Moving::Kind::kAllgather, in, out, bytes_each, 0}, stream});
}

Result<std::uint64_t> Communicator::alltoall(const void* in, void* out, std::size_t bytes_each, Stream stream) {
  return add({Moving{Moving::Kind::kAlltoall, in, out, bytes_each, 0}, stream});
}

Result<std::uint64_t> Communicator::send(const void* in, std::size_t bytes, int to, Stream stream) {
  return add({Moving{Moving::Kind::kSend, in, nullptr, bytes, to}, stream});
}

Result<std::uint64_t> Communicator::receive(void* out, std::size_t bytes, int from, Stream stream) {
  return add({Moving{Moving::Kind::kReceive, nullptr, out, bytes, from}, stream});
}

Status Communicator::begin(const Waiting& call) {
  if (const auto* r = std::get_if<Reducing>(&call.what)) {
    switch (r->kind) {
      case Reducing::Kind::kAllreduce:
        return library_.all_reduce(r->in, r->out, r->count, r->type, r->op, comm_, call.stream);
      case Reducing::Kind::kReduce:
        return library_.reduce(r->in, r->out, r->count, r->type, r->op, r->root, comm_, call.stream);
      case Reducing::Kind::kReduceScatter:
        return library_.reduce_scatter(r->in, r->out, r->count, r->type, r->op, comm_, call.stream);
    }
  }
  const auto& m = std::get<Moving>(call.what);
  switch (m.kind) {
    case Moving::Kind::kBroadcast:
      return library_.broadcast(m.in, m.out, m.bytes, kNcclInt8, m.peer, comm_, call.stream);
    case Moving::Kind::kAllgather: return library_.all_gather(m.in, m.out, m.bytes, kNcclInt8, comm_, call.stream);
    case Moving::Kind::kAlltoall: return exchange(m, call.stream);
    case Moving::Kind::kSend: return library_.send(m.in, m.bytes, kNcclInt8, m.peer, comm_, call.stream);
    case Moving::Kind::kReceive: return library_.recv(m.out, m.bytes, kNcclInt8, m.peer, comm_, call.stream);
  }
  return kInternalError;
}

// As one kernel; ncclAlltoAll came with 2.28 only.  What a group has begun must be ended, whatever came between.
Status Communicator::exchange(const Moving& call, Stream stream) {
  Status status = library_.group_start();
  if (status != kSuccess) return status;
  for (int rank = 0; rank < place_.size && (status == kSuccess || status == kInProgress); ++rank) {
    const std::size_t offset = static_cast<std::size_t>(rank) * call.bytes;
    status = library_.send(at(call.in, offset), call.bytes, kNcclInt8, rank, comm_, stream);
    if (status == kSuccess || status == kInProgress)
      status = library_.recv(static_cast<char*>(call.out) + offset, call.bytes, kNcclInt8, rank, comm_, stream);
  }
  const Status ended = library_.group_end();
  return status == kSuccess || status == kInProgress ? ended : status;
}

Result<void> Communicator::add_buffer(void* buffer, std::size_t bytes) {
  if (state_ == State::kFailed) return error_;
  if (library_.comm_register == nullptr || buffers_.contains(buffer)) return {};
  if (state_ != State::kReady)
    return Error{Code::kUnavailable, "NCCL takes no buffer while it begins something: poll() until it is ready"};
  void* handle = nullptr;
  const Status status = library_.comm_register(comm_, buffer, bytes, &handle);
  if (status != kSuccess) return Error{code_of(status), "registering a buffer failed: " + said(status)};
  buffers_.emplace(buffer, handle);
  return {};
}

void Communicator::remove_buffer(void* buffer) {
  const auto it = buffers_.find(buffer);
  if (it == buffers_.end()) return;
  if (comm_ != nullptr) library_.comm_deregister(comm_, it->second);
  buffers_.erase(it);
}

void Communicator::finish() {
  if (state_ != State::kReady) return;
  while (!buffers_.empty()) remove_buffer(buffers_.begin()->first);
  state_ = State::kLeaving;
  settle(library_.comm_finalize(comm_), "leaving");
}

void Communicator::fail(Error why) {
  if (state_ == State::kFailed || state_ == State::kGone) return;
  const bool all_had_joined = state_ == State::kReady || state_ == State::kBusy;
  state_ = State::kFailed;
  in_progress_ = false;
  error_ = std::move(why);
  waiting_.clear();
  if (!all_had_joined || library_.comm_shrink == nullptr) return abort();
  if (library_.comm_revoke != nullptr) library_.comm_revoke(comm_, 0);
}

Result<std::unique_ptr<Communicator>> Communicator::shrink(const std::set<int>& dead) {
  if (state_ != State::kFailed) return Error{Code::kInvalid, "only an NCCL communicator that has failed is shrunk"};
  if (dead.contains(place_.rank)) return Error{Code::kInvalid, "this rank is among those to be left out"};
  if (comm_ == nullptr) {
    return Error{Code::kUnavailable, "NCCL " + std::to_string(library_.version) +
                                         " cannot shrink this one (2.27 can, once all have joined): "
                                         "join anew with another id"};
  }
  int rank = 0;
  for (int r = 0; r < place_.rank; ++r) rank += dead.contains(r) ? 0 : 1;
  const Place place{rank, place_.size - static_cast<int>(dead.size())};
  auto out = std::unique_ptr<Communicator>(new Communicator(library_, place, options_));
  std::vector<int> excluded(dead.begin(), dead.end());
  Config config = out->config();
  buffers_.clear();  // They go with their communicator.
  out->parent_ = std::exchange(comm_, nullptr);
  out->settle(library_.comm_shrink(out->parent_, excluded.data(), static_cast<int>(excluded.size()), &out->comm_,
                                   &config, kShrinkAbort),
              "shrinking");
  if (out->state_ == State::kFailed) return out->error_;
  return out;
}

std::string Communicator::said(Status status) const {
  std::string out = std::string("NCCL says \"") + library_.get_error_string(status) + "\"";
  const char* last = library_.get_last_error(comm_ != nullptr ? comm_ : parent_);
  if (last != nullptr && *last != '\0') out += std::string(" (") + last + ")";
  return out + "; NCCL_DEBUG=WARN prints more";
}

void Communicator::abort() {
  if (comm_ != nullptr) library_.comm_abort(std::exchange(comm_, nullptr));
  if (parent_ != nullptr) library_.comm_abort(std::exchange(parent_, nullptr));
}

}  // namespace mobula::collective::nccl
