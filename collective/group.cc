#include "collective/group.h"

#include <algorithm>
#include <utility>

namespace mobula::collective {
namespace {

constexpr std::size_t kFailureTextMax = 2000;

Signature signature_of(const MessageHeader& h) { return {h.operation, h.root, h.reduction, h.count, h.element_bytes}; }

}  // namespace

std::string to_string(const Signature& s) {
  std::string out = name_of(s.operation);
  if (s.count != 0) out += " of " + std::to_string(s.count) + " elements";
  if (s.element_bytes > 1) out += " of " + std::to_string(s.element_bytes) + " bytes";
  if (s.reduction != 0) out += ", reduction " + std::to_string(s.reduction);
  if (s.operation == Operation::kBroadcast || s.operation == Operation::kReduce || s.operation == Operation::kGather ||
      s.operation == Operation::kScatter) {
    out += ", root " + std::to_string(s.root);
  }
  return out;
}

void encode(const Failure& failure, base::Buffer& out) {
  out.put(static_cast<std::uint32_t>(failure.dead.size()));
  for (const auto& [rank, next_incarnation] : failure.dead) {
    out.put(static_cast<std::int32_t>(rank));
    out.put(next_incarnation);
  }
  out.put_string(std::string_view(failure.what).substr(0, kFailureTextMax));
}

std::optional<Failure> decode_failure(ConstBytes bytes) {
  base::Cursor in(bytes);
  Failure out;
  const auto n = in.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < n && in.ok(); ++i) {
    const auto rank = in.get<std::int32_t>();
    out.dead[rank] = in.get<std::uint64_t>();
  }
  out.what = in.get_string();
  if (!in.ok() || in.left() != 0) return std::nullopt;
  return out;
}

// ---- credits

Group::CreditKey Group::credit_key(const MessageHeader& header) {
  return {static_cast<std::uint8_t>(header.operation == Operation::kSendReceive ? 1 : 0), header.sequence};
}

bool Group::Credits::may_send(int rank, std::size_t bytes) const {
  const PeerState& peer = group.peer(rank);
  const std::size_t cost = bytes + kMessageCost;
  const auto own = peer.under_way.find(key);
  if (own != peer.under_way.end() && own->second + cost > kRunBytes) return false;
  if (peer.under_way_bytes + cost <= kPeerBytes) return true;
  const auto oldest = peer.under_way.lower_bound({key.message, 0});
  return oldest == peer.under_way.end() || oldest->first.message != key.message || oldest->first >= key;
}

void Group::Credits::sent(int rank, std::size_t bytes) const {
  PeerState& peer = group.peer(rank);
  peer.under_way[key] += bytes + kMessageCost;
  peer.under_way_bytes += bytes + kMessageCost;
}

void Group::consumed(const MessageHeader& header, std::size_t payload, Wire& wire) {
  PeerState& state = peer(header.from);
  state.consumed[credit_key(header)] += payload + kMessageCost;
  state.consumed_bytes += payload + kMessageCost;
  if (state.consumed_bytes >= kCreditBatch) give_credit(header.from, wire);
}

void Group::give_credit(int to, Wire& wire) {
  PeerState& state = peer(to);
  MessageHeader header;
  header.kind = MessageKind::kCredit;
  header.group = key_.id;
  header.epoch = key_.epoch;
  header.from = place_.rank;
  base::Buffer payload;
  for (const auto& [key, bytes] : state.consumed) {
    payload.put(key.message);
    payload.put(key.sequence);
    payload.put(static_cast<std::uint64_t>(bytes));
  }
  if (!wire.send(to, header, payload.view())) return;  // pump() tries again.
  state.consumed.clear();
  state.consumed_bytes = 0;
}

bool Group::take_credit(PeerState& from, ConstBytes payload) {
  base::Cursor in(payload);
  while (in.left() != 0) {
    CreditKey key;
    key.message = in.get<std::uint8_t>();
    key.sequence = in.get<std::uint64_t>();
    const auto bytes = in.get<std::uint64_t>();
    const auto at = from.under_way.find(key);
    if (!in.ok() || at == from.under_way.end() || bytes > at->second) return false;
    from.under_way_bytes -= bytes;
    at->second -= bytes;
    if (at->second == 0) from.under_way.erase(at);
  }
  return true;
}

// ---- calls

MessageHeader Group::header_of(const Run& run) const {
  const Signature& s = run.signature();
  MessageHeader header;
  header.operation = s.operation;
  header.root = s.root;
  header.group = key_.id;
  header.epoch = key_.epoch;
  header.from = place_.rank;
  header.sequence = run.sequence();
  header.reduction = s.reduction;
  header.count = s.count;
  header.element_bytes = s.element_bytes;
  return header;
}

std::shared_ptr<Call> Group::start(const RunKey& key, Plan plan, const Signature& signature, std::uint64_t sequence,
                                   const Run::Buffers& buffers, const Reduction* reduction, Wire& wire) {
  auto call = std::make_shared<Call>();
  if (failure_) {
    call->failed = true;
    return call;
  }
  const Reduction copy = reduction != nullptr ? *reduction : Reduction{};
  auto active = std::make_unique<Active>(
      Active{Run(Plan{}, signature, sequence, buffers, nullptr, place_.rank, place_.size), copy, call});
  active->run = Run(std::move(plan), signature, sequence, buffers, &active->reduction, place_.rank, place_.size);
  const auto at = runs_.emplace(key, std::move(active)).first;
  const auto [first, last] = early_.equal_range(key);
  std::vector<Early> waiting;
  for (auto it = first; it != last; ++it) waiting.push_back(std::move(it->second));
  early_.erase(first, last);
  for (const Early& early : waiting) {
    peer(early.header.from).early_bytes -= early.payload.size() + kMessageCost;
    if (!deliver(at, early.header, early.payload, wire)) return call;  // The group has failed.
    consumed(early.header, early.payload.size(), wire);
    if (failure_) return call;
  }
  advance(at, wire);
  return call;
}

std::shared_ptr<Call> Group::begin(Plan plan, const Signature& signature, const Run::Buffers& buffers,
                                   const Reduction* reduction, Wire& wire) {
  const std::uint64_t sequence = next_++;
  return start({0, sequence}, std::move(plan), signature, sequence, buffers, reduction, wire);
}

std::shared_ptr<Call> Group::begin_send(int to, ConstBytes bytes, Wire& wire) {
  Plan plan{.algorithm = "send"};
  plan.add(send(to, in(0, bytes.size()))).end_round();
  const Signature signature{Operation::kSendReceive, 0, 0, bytes.size(), 1};
  const std::uint64_t sequence = peer(to).sent++;
  return start({1 + place_.size + to, sequence}, std::move(plan), signature, sequence, {bytes.data(), nullptr}, nullptr,
               wire);
}

std::shared_ptr<Call> Group::begin_receive(int from, Bytes bytes, Wire& wire) {
  Plan plan{.algorithm = "receive"};
  plan.add(collective::receive(from, out(0, bytes.size()))).end_round();
  const Signature signature{Operation::kSendReceive, 0, 0, bytes.size(), 1};
  const std::uint64_t sequence = peer(from).received++;
  return start({1 + from, sequence}, std::move(plan), signature, sequence, {nullptr, bytes.data()}, nullptr, wire);
}

void Group::advance(std::map<RunKey, std::unique_ptr<Active>>::iterator at, Wire& wire) {
  Active& active = *at->second;
  const MessageHeader header = header_of(active.run);
  Credits credits{*this, credit_key(header)};
  ++advancing_;
  active.run.advance(wire, header, credits);
  --advancing_;
  // A member may have been lost while it was being sent to: `at` is no more then.
  if (failure_) return leave_runs();
  if (!active.run.done()) return;
  active.call->done = true;
  ++calls_ended_;
  runs_.erase(at);
}

bool Group::deliver(std::map<RunKey, std::unique_ptr<Active>>::iterator at, const MessageHeader& header,
                    ConstBytes payload, Wire& wire) {
  Run& run = at->second->run;
  const Signature theirs = signature_of(header);
  if (theirs != run.signature()) {
    fail({{},
          "the calls do not fit each other: rank " + std::to_string(place_.rank) + " called " +
              to_string(run.signature()) + ", rank " + std::to_string(header.from) + " called " + to_string(theirs) +
              " (call " + std::to_string(header.sequence) + " of the group)"},
         wire);
    return false;
  }
  if (run.take(header.from, header, payload)) return true;
  fail({{},
        "rank " + std::to_string(header.from) + " sent what " + to_string(run.signature()) +
            " does not expect: its buffer is of another length, or it chose another algorithm"},
       wire);
  return false;
}

bool Group::receive(const MessageHeader& header, ConstBytes payload, Wire& wire) {
  if (header.version != kMessageVersion || header.from < 0 || header.from >= place_.size ||
      header.from == place_.rank || static_cast<std::uint8_t>(header.operation) >= kOperations) {
    return false;
  }
  if (header.kind == MessageKind::kFailed) {
    auto failure = decode_failure(payload);
    if (!failure) return false;
    for (const auto& [rank, next_incarnation] : failure->dead) {
      if (rank < 0 || rank >= place_.size) return false;
    }
    fail(std::move(*failure), wire);
    return true;
  }
  PeerState& from = peer(header.from);
  if (header.kind == MessageKind::kCredit) {
    if (!take_credit(from, payload)) return false;
    pump(wire);
    return true;
  }
  if (header.kind != MessageKind::kPiece) return false;
  if (failure_) return true;  // Under way when it failed.
  const bool message = header.operation == Operation::kSendReceive;
  const RunKey key{message ? 1 + header.from : 0, header.sequence};
  const auto at = runs_.find(key);
  if (at != runs_.end()) {
    if (!deliver(at, header, payload, wire)) return true;
    consumed(header, payload.size(), wire);
    if (!failure_) advance(at, wire);
    return true;
  }
  if (header.sequence < (message ? from.received : next_)) return false;  // Of a call that has ended here.
  if (from.early_bytes + payload.size() + kMessageCost > kEarlyBytesMax) return false;
  from.early_bytes += payload.size() + kMessageCost;
  early_.emplace(key, Early{header, {payload.begin(), payload.end()}});
  return true;
}

void Group::pump(Wire& wire) {
  tell(wire);
  for (auto at = runs_.begin(); at != runs_.end();) {
    const auto here = at++;
    advance(here, wire);
    if (failure_) return;
  }
  for (int rank = 0; rank < place_.size; ++rank) {
    if (peer(rank).consumed_bytes >= kCreditBatch) give_credit(rank, wire);
  }
}

// ---- failure

void Group::lose(int rank, const std::string& why, Wire& wire, std::uint64_t next_incarnation) {
  if (failure_ && failure_->dead.contains(rank)) return;
  fail({{{rank, next_incarnation}}, "rank " + std::to_string(rank) + " is lost: " + why}, wire);
}

// Each member that learns something new tells all others: whoever is alive hears of it from whoever heard first, even
// if that one dies while it tells.
void Group::fail(Failure failure, Wire& wire) {
  const std::size_t before = failure_ ? failure_->dead.size() : 0;
  const bool first = !failure_;
  if (first) {
    failure_ = std::move(failure);
  } else {
    failure_->dead.merge(failure.dead);
    if (failure_->dead.size() == before) return;
    if (before == 0) failure_->what = std::move(failure.what);
  }
  for (auto& [key, active] : runs_) {
    active->call->failed = true;
    left_.push_back(std::move(active));
  }
  runs_.clear();
  leave_runs();
  early_.clear();
  for (int rank = 0; rank < place_.size; ++rank) {
    peer(rank).tell_failure = rank != place_.rank;  // Who is taken for dead, too: perhaps it only stood still.
  }
  tell(wire);
}

void Group::tell_again(int rank, Wire& wire) {
  peer(rank).tell_failure = failure_.has_value();
  tell(wire);
}

void Group::tell(Wire& wire) {
  if (!failure_) return;
  base::Buffer encoded;
  MessageHeader header;
  header.kind = MessageKind::kFailed;
  header.group = key_.id;
  header.epoch = key_.epoch;
  header.from = place_.rank;
  for (int rank = 0; rank < place_.size; ++rank) {
    PeerState& state = peer(rank);
    if (!state.tell_failure) continue;
    if (encoded.empty()) encode(*failure_, encoded);
    if (wire.send(rank, header, encoded.view())) state.tell_failure = false;
  }
}

// ---- for people

std::vector<int> Group::waits_for() const {
  return runs_.empty() ? std::vector<int>{} : runs_.begin()->second->run.waits_for();
}

std::string Group::describe() const {
  std::string out;
  for (const auto& [key, active] : runs_) {
    out += to_string(active->run.signature()) + " (call " + std::to_string(key.second) + ") waits for rank";
    for (const int rank : active->run.waits_for()) out += " " + std::to_string(rank);
    out += "\n";
  }
  return out;
}

}  // namespace mobula::collective
