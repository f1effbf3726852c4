#include "transport/stream/session.h"

#include <algorithm>
#include <utility>

namespace mobula::transport::stream {
namespace {

constexpr std::size_t kReadBudgetBytes = 4u << 20;  // A round of one session, so that the others get theirs.
constexpr std::size_t kFlushBytes = 128u << 10;     // Queued by one round: written before its end.

base::Error unavailable(std::string what) { return {base::Code::kUnavailable, std::move(what)}; }

template <class T>
T object_from(ConstBytes bytes) {
  T out;
  std::memcpy(&out, bytes.data(), sizeof out);
  return out;
}

}  // namespace

Session::Session(Shared& shared, std::unique_ptr<ByteStream> stream, Handshake::Role role)
    : shared_(shared),
      stream_(std::move(stream)),
      state_(State::kGreeting),
      announced_(role == Handshake::Role::kClient) {
  greeting_.emplace(role, shared.options.credentials, *stream_);
}

Session::Session(Shared& shared, std::unique_ptr<ByteStream> stream, PeerIdentity peer)
    : shared_(shared), stream_(std::move(stream)), state_(State::kOpen), announced_(true), peer_(std::move(peer)) {}

void Session::on_readable() {
  if (state_ == State::kGreeting) greet();
  if (state_ != State::kOpen) return;
  switch (incoming_.pump(*stream_, {shared_.scratch.get(), Incoming::kScratchBytes}, kReadBudgetBytes, *this)) {
    case Incoming::State::kOpen:
    case Incoming::State::kStopped: return;
    case Incoming::State::kEnded: return fail(stream_->why());
    case Incoming::State::kBroken: return fail({base::Code::kInvalid, "the peer broke the format of frames"});
  }
}

void Session::on_writable() {
  blocked_ = false;
  if (state_ == State::kGreeting) greet();
  if (state_ == State::kOpen) flush();
}

void Session::greet() {
  switch (greeting_->drive()) {
    case Greeting::State::kGoing: return;
    case Greeting::State::kFailed: return fail(greeting_->why());
    case Greeting::State::kDone: return opened();
  }
}

void Session::opened() {
  peer_ = greeting_->proof().peer();
  greeting_.reset();
  state_ = State::kOpen;
  mark_dirty();  // What was sent before.
  if (announced_) return;
  announced_ = true;
  shared_.inbox.accepted(*this);
}

void Session::fail(base::Error why) {
  if (state_ == State::kOver) return;
  end_all(unavailable("the connection ended: " + why.what));
  why_ = std::move(why);
  shared_.failed.push_back(this);
}

void Session::greet_soon() {
  dirty_ = true;
  shared_.dirty.push_back(this);
}

void Session::close() {
  if (state_ == State::kOver && why_.what.empty()) return;  // From within lost().
  if (state_ == State::kOpen && !blocked_) outgoing_.flush(*stream_, shared_.completions);
  if (state_ != State::kOver) end_all({base::Code::kCancelled, "the endpoint was closed"});
  std::erase(shared_.failed, this);
  shared_.closed.push_back(this);
}

void Session::end_all(const base::Error& why) {
  state_ = State::kOver;
  stream_->want_writable(false);
  std::erase(shared_.dirty, this);
  std::erase(shared_.writable, this);
  outgoing_.fail(why, shared_.completions);
  reads_.fail(why, shared_.completions);
  writes_.fail(why, shared_.completions);
  landings_.clear();
}

Result<void> Session::send(std::uint16_t type, ConstBytes header, ConstBytes payload, Completion* completion) {
  if (state_ == State::kOver) return unavailable("the peer is lost");
  if (header.size() > kHeaderBytesMax || payload.size() > kMessageBytesMax) {
    return base::Error{base::Code::kInvalid, "a message of " + std::to_string(header.size()) + " + " +
                                                 std::to_string(payload.size()) + " bytes is too long"};
  }
  FrameHeader frame;
  frame.type = type;
  frame.header_bytes = static_cast<std::uint32_t>(header.size());
  frame.payload_bytes = payload.size();
  const bool refer = completion != nullptr && payload.size() > shared_.options.eager_bytes_max;
  const std::size_t copied = sizeof frame + header.size() + (refer ? 0 : payload.size());
  const std::size_t queued = outgoing_.queued_bytes();
  if (queued != 0 && queued + copied > shared_.options.queue_bytes_max) {
    exhausted_ = true;
    return base::Error{base::Code::kExhausted, std::to_string(queued) + " bytes wait for this peer"};
  }
  if (refer) {
    outgoing_.refer_message(frame, header, payload, *completion);
  } else {
    const std::size_t gone = write_now(frame, header, payload);
    if (gone < copied) outgoing_.copy_message(frame, header, payload, gone);
    if (completion != nullptr) shared_.completions.add(*completion, payload.size());
  }
  if (outgoing_.idle()) return {};
  if (state_ == State::kOpen && (refer || outgoing_.queued_bytes() > kFlushBytes)) flush();
  if (state_ != State::kOver) mark_dirty();
  return {};
}

// The first message of a round leaves at once; the others are gathered and leave together.
std::size_t Session::write_now(const FrameHeader& frame, ConstBytes header, ConstBytes payload) {
  if (state_ != State::kOpen || blocked_ || !outgoing_.idle() || wrote_round_ == shared_.round) return 0;
  wrote_round_ = shared_.round;
  std::array<iovec, 3> parts;
  std::size_t n = 0;
  for (const ConstBytes part : {base::object_bytes(frame), header, payload}) {
    if (!part.empty()) parts[n++] = {const_cast<std::byte*>(part.data()), part.size()};
  }
  const std::ptrdiff_t wrote = stream_->write({parts.data(), n});
  if (wrote == ByteStream::kEnded) blocked_ = true;
  return wrote > 0 ? static_cast<std::size_t>(wrote) : 0;
}

void Session::mark_dirty() {
  if (dirty_ || state_ != State::kOpen || blocked_) return;
  dirty_ = true;
  shared_.dirty.push_back(this);
}

void Session::flush() {
  dirty_ = false;
  if (state_ == State::kGreeting) return greet();
  if (state_ != State::kOpen || blocked_) return;
  const Outgoing::State state = outgoing_.flush(*stream_, shared_.completions);
  // Over: what the peer said before it went can still be read, and then its end.
  blocked_ = state != Outgoing::State::kIdle;
  stream_->want_writable(state == Outgoing::State::kBlocked);
  if (exhausted_ && outgoing_.queued_bytes() <= shared_.options.queue_bytes_max / 2) {
    exhausted_ = false;
    shared_.writable.push_back(this);
  }
}

void Session::read(const RemoteSpan& from, const LocalSpan& to, Completion& completion) {
  start(reads_, from, to, completion);
  issue(reads_, Kind::kRead);
}

void Session::write(const LocalSpan& from, const RemoteSpan& to, Completion& completion) {
  start(writes_, to, from, completion);
  issue(writes_, Kind::kWrite);
}

void Session::start(Transfers& transfers, const RemoteSpan& remote, const LocalSpan& local, Completion& completion) {
  if (state_ == State::kOver) return shared_.completions.add(completion, unavailable("the peer is lost"));
  const std::optional<RegionKey> key = decode_region_key(remote.key);
  const std::optional<RegionKey> own = decode_region_key(local.region.remote_key());
  const Result<Bytes> bytes = bytes_of(local);
  if (!bytes.ok()) return shared_.completions.add(completion, bytes.error());
  if (!key || !own || remote.size != local.size) {
    return shared_.completions.add(
        completion, base::Error{base::Code::kInvalid, "a remote key that is none, or two spans of different sizes"});
  }
  if (local.size == 0) return shared_.completions.add(completion, std::size_t{0});
  transfers.add({&completion, *bytes, own->region, {key->region, key->cookie, remote.offset, remote.size}, 0});
}

void Session::issue(Transfers& transfers, Kind kind) {
  while (const std::optional<std::uint64_t> id = transfers.issue()) {
    const Transfers::Transfer& t = *transfers.find(*id);
    FrameHeader frame;
    frame.kind = kind;
    frame.header_bytes = sizeof(Access);
    frame.id = *id;
    outgoing_.answer(frame, base::object_bytes(t.access));
    if (kind == Kind::kWrite) outgoing_.add_transfer({Kind::kWriteChunk, *id, t.local_region, t.local});
  }
  if (!outgoing_.idle()) mark_dirty();
}

bool Session::frame(const FrameHeader& frame, ConstBytes header, ConstBytes payload) {
  switch (frame.kind) {
    case Kind::kMessage: shared_.inbox.message(*this, frame.type, header, payload); break;
    case Kind::kRead: serve_read(frame.id, object_from<Access>(header)); break;
    case Kind::kWrite: serve_write(frame.id, object_from<Access>(header)); break;
    case Kind::kReadFailed: end_transfer(reads_, frame); break;
    case Kind::kWriteDone: end_transfer(writes_, frame); break;
    case Kind::kReadChunk:
    case Kind::kWriteChunk: break;  // Come by chunk_begins().
  }
  return state_ == State::kOpen;
}

void Session::serve_read(std::uint64_t id, const Access& access) {
  const Result<Bytes> bytes = shared_.regions.find(access);
  if (!bytes.ok()) return answer(Kind::kReadFailed, id, static_cast<std::uint8_t>(bytes.error().code));
  if (bytes->empty() || outgoing_.transfers() >= 2 * kTransfersMax) {
    static_cast<void>(broken("the peer asked for nothing, or for too much at once"));
    return;
  }
  outgoing_.add_transfer({Kind::kReadChunk, id, access.region, *bytes});
  mark_dirty();
}

void Session::serve_write(std::uint64_t id, const Access& access) {
  const Result<Bytes> bytes = shared_.regions.find(access);
  if (!bytes.ok()) return answer(Kind::kWriteDone, id, static_cast<std::uint8_t>(bytes.error().code));
  if (bytes->empty() || landings_.size() >= kTransfersMax ||
      !landings_.emplace(id, Landing{*bytes, access.region}).second) {
    static_cast<void>(broken("the peer wrote nothing, or too much at once"));
  }
}

std::optional<Bytes> Session::chunk_begins(const FrameHeader& frame) {
  const bool to_read = frame.kind == Kind::kReadChunk;
  Bytes target;
  std::size_t done = 0;
  if (to_read) {
    const Transfers::Transfer* t = reads_.find(frame.id);
    if (t == nullptr) return Bytes{};
    target = t->local;
    done = t->done;
  } else {
    const auto it = landings_.find(frame.id);
    if (it == landings_.end()) return Bytes{};
    target = it->second.target;
    done = it->second.done;
  }
  if (frame.payload_bytes > target.size() - done) return std::nullopt;
  return target.subspan(done, frame.payload_bytes);
}

bool Session::chunk_ended(const FrameHeader& frame) {
  if (frame.kind == Kind::kReadChunk) {
    Transfers::Transfer* t = reads_.find(frame.id);
    if (t == nullptr) return true;
    t->done += frame.payload_bytes;
    if (t->done < t->local.size()) return true;
    reads_.end(frame.id, t->local.size(), shared_.completions);
    issue(reads_, Kind::kRead);
    return true;
  }
  const auto it = landings_.find(frame.id);
  if (it == landings_.end()) return true;
  it->second.done += frame.payload_bytes;
  if (it->second.done < it->second.target.size()) return true;
  landings_.erase(it);
  answer(Kind::kWriteDone, frame.id, 0);
  return true;
}

void Session::end_transfer(Transfers& transfers, const FrameHeader& frame) {
  const Transfers::Transfer* t = transfers.find(frame.id);
  if (t == nullptr) return;
  const bool write = frame.kind == Kind::kWriteDone;
  if (write) outgoing_.drop_transfer(Kind::kWriteChunk, frame.id);
  if (frame.code == 0) {
    transfers.end(frame.id, t->local.size(), shared_.completions);
  } else {
    const auto code = static_cast<base::Code>(frame.code);
    transfers.end(frame.id,
                  base::Error{code, std::string("the peer refused a one-sided ") + (write ? "write" : "read") + " of " +
                                        std::to_string(t->local.size()) + " bytes: " + base::name_of(code)},
                  shared_.completions);
  }
  issue(transfers, write ? Kind::kWrite : Kind::kRead);
}

void Session::answer(Kind kind, std::uint64_t id, std::uint8_t code) {
  FrameHeader frame;
  frame.kind = kind;
  frame.code = code;
  frame.id = id;
  outgoing_.answer(frame, {});
  mark_dirty();
}

void Session::forget_region(std::uint64_t region) {
  const auto not_found = static_cast<std::uint8_t>(base::Code::kNotFound);
  for (const std::uint64_t id : outgoing_.forget_region(region)) answer(Kind::kReadFailed, id, not_found);
  for (auto it = landings_.begin(); it != landings_.end();) {
    if (it->second.region != region) {
      ++it;
      continue;
    }
    incoming_.drop_chunk(Kind::kWriteChunk, it->first);
    answer(Kind::kWriteDone, it->first, not_found);
    it = landings_.erase(it);
  }
}

void Session::tell_writable() { shared_.inbox.writable(*this); }

bool Session::broken(const char* what) {
  fail({base::Code::kInvalid, what});
  return false;
}

}  // namespace mobula::transport::stream
