#include "transport/shm/relay.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace mobula::transport::shm {
namespace {

constexpr std::size_t kPartBytes = 16u << 10;

base::Error broken(const char* what) { return {base::Code::kInvalid, std::string("shm peer: ") + what}; }

// Writes one record "u64 operation, bytes"; nullptr when the ring is full.
bool write_part(Link& link, Kind kind, std::uint64_t operation, const std::byte* from, std::size_t size) {
  std::byte* at = link.out().reserve(sizeof operation + size);
  if (at == nullptr) return false;
  std::memcpy(at, &operation, sizeof operation);
  std::memcpy(at + sizeof operation, from, size);
  link.publish(pack({kind, 0, 0}), sizeof operation + size);
  return true;
}

std::size_t part_bytes(Link& link, std::size_t left) {
  return std::min({left, kPartBytes, link.out().record_bytes_max() - sizeof(std::uint64_t)});
}

// A code that came over the wire.
base::Code to_code(std::uint64_t code) {
  const bool known = code >= static_cast<std::uint64_t>(base::Code::kInvalid) &&
                     code <= static_cast<std::uint64_t>(base::Code::kDenied);
  return known ? static_cast<base::Code>(code) : base::Code::kInvalid;
}

}  // namespace

void Relay::start(const Operation& operation, SendQueue& queue) {
  if (asked_.size() < kOpenMax) {
    ask(operation, queue);
  } else {
    waiting_.push_back(operation);
  }
}

void Relay::ask(const Operation& operation, SendQueue& queue) {
  const std::uint64_t id = next_operation_++;
  const Access access{id, operation.key.region, operation.key.cookie, operation.offset, operation.size};
  queue.add_control(operation.is_read() ? Kind::kGet : Kind::kPut, base::object_bytes(access));
  asked_.emplace(id, operation);
  if (!operation.is_read()) putting_.push_back(id);
}

void Relay::end(std::uint64_t operation, Result<std::size_t> result, SendQueue& queue) {
  const auto it = asked_.find(operation);
  if (it == asked_.end()) return;
  done_.add(*it->second.completion, std::move(result));
  asked_.erase(it);
  std::erase(putting_, operation);
  if (waiting_.empty()) return;
  ask(waiting_.front(), queue);
  waiting_.pop_front();
}

Result<void> Relay::take(Kind kind, ConstBytes body, SendQueue& queue) {
  switch (kind) {
    case Kind::kGetPart: return take_get_part(body, queue);
    case Kind::kPutPart: return take_put_part(body);
    case Kind::kGet:
    case Kind::kPut: {
      Access access{};
      if (body.size() != sizeof access) return broken("a request of the wrong length");
      std::memcpy(&access, body.data(), sizeof access);
      // Answers that have not left count, too: a peer that asks and does not read has no memory of ours.
      if (serving_.size() + expected_.size() + answers_.size() >= kOpenMax) return broken("too many requests");
      kind == Kind::kGet ? serve(access) : expect(access);
      return {};
    }
    case Kind::kPutDone:
    case Kind::kFailed: {
      Outcome outcome{};
      if (body.size() != sizeof outcome) return broken("an outcome of the wrong length");
      std::memcpy(&outcome, body.data(), sizeof outcome);
      const auto it = asked_.find(outcome.operation);
      if (it == asked_.end()) return {};
      const Operation& operation = it->second;
      if (kind == Kind::kPutDone) {
        if (operation.is_read() || operation.moved != operation.size) return broken("an early end of a write");
        end(outcome.operation, operation.size, queue);
      } else {
        end(outcome.operation, base::Error{to_code(outcome.code), "the region's owner refused"}, queue);
      }
      return {};
    }
    default: return broken("an unknown record");
  }
}

void Relay::answer(Kind kind, std::uint64_t operation, base::Code code) {
  answers_.push_back({kind, {operation, static_cast<std::uint64_t>(code)}});
}

void Relay::serve(const Access& access) {
  if (const auto bytes = regions_.find(access, os::Access::kReadOnly); !bytes) {
    return answer(Kind::kFailed, access.operation, bytes.error().code);
  }
  serving_.push_back({access});
}

void Relay::expect(const Access& access) {
  if (const auto bytes = regions_.find(access, os::Access::kReadWrite); !bytes) {
    return answer(Kind::kFailed, access.operation, bytes.error().code);
  }
  expected_.emplace(access.operation, Incoming{access});
}

Result<void> Relay::take_get_part(ConstBytes body, SendQueue& queue) {
  std::uint64_t id = 0;
  if (body.size() < sizeof id) return broken("a part without an operation");
  std::memcpy(&id, body.data(), sizeof id);
  const ConstBytes part = body.subspan(sizeof id);
  const auto it = asked_.find(id);
  if (it == asked_.end()) return {};
  Operation& operation = it->second;
  if (!operation.is_read() || part.size() > operation.size - operation.moved) return broken("more than was asked for");
  std::memcpy(operation.local + operation.moved, part.data(), part.size());
  operation.moved += part.size();
  if (operation.moved == operation.size) end(id, operation.size, queue);
  return {};
}

Result<void> Relay::take_put_part(ConstBytes body) {
  std::uint64_t id = 0;
  if (body.size() < sizeof id) return broken("a part without an operation");
  std::memcpy(&id, body.data(), sizeof id);
  const ConstBytes part = body.subspan(sizeof id);
  const auto it = expected_.find(id);
  if (it == expected_.end()) return {};  // Refused; its parts were on their way.
  Incoming& put = it->second;
  if (part.size() > put.access.size - put.moved) return broken("more than was announced");
  // Looked up for each part: the region may have gone since.
  const auto memory = regions_.find(put.access, os::Access::kReadWrite);
  if (!memory) {
    answer(Kind::kFailed, id, memory.error().code);
    expected_.erase(it);
    return {};
  }
  std::memcpy(memory->data() + put.moved, part.data(), part.size());
  put.moved += part.size();
  if (put.moved < put.access.size) return {};
  answer(Kind::kPutDone, id, base::Code{});
  expected_.erase(it);
  return {};
}

bool Relay::pump_answers(Link& link) {
  bool wrote = false;
  while (!answers_.empty()) {
    const Answer& answer = answers_.front();
    std::byte* at = link.out().reserve(sizeof answer.outcome);
    if (at == nullptr) return wrote;
    std::memcpy(at, &answer.outcome, sizeof answer.outcome);
    link.publish(pack({answer.kind, 0, 0}), sizeof answer.outcome);
    answers_.pop_front();
    wrote = true;
  }
  return wrote;
}

bool Relay::pump(Link& link) {
  const bool served = pump_serving(link);
  return pump_putting(link) || served;
}

bool Relay::pump_serving(Link& link) {
  bool wrote = false;
  while (!serving_.empty()) {
    Incoming& get = serving_.front();
    const auto memory = regions_.find(get.access, os::Access::kReadOnly);
    if (!memory) {
      const Outcome outcome{get.access.operation, static_cast<std::uint64_t>(memory.error().code)};
      std::byte* at = link.out().reserve(sizeof outcome);
      if (at == nullptr) return wrote;
      std::memcpy(at, &outcome, sizeof outcome);
      link.publish(pack({Kind::kFailed, 0, 0}), sizeof outcome);
      serving_.pop_front();
      continue;
    }
    const std::size_t part = part_bytes(link, get.access.size - get.moved);
    if (!write_part(link, Kind::kGetPart, get.access.operation, memory->data() + get.moved, part)) return wrote;
    wrote = true;
    get.moved += part;
    if (get.moved == get.access.size) serving_.pop_front();
  }
  return wrote;
}

bool Relay::pump_putting(Link& link) {
  bool wrote = false;
  while (!putting_.empty()) {
    Operation& put = asked_.at(putting_.front());
    const std::size_t part = part_bytes(link, put.size - put.moved);
    if (!write_part(link, Kind::kPutPart, putting_.front(), put.local + put.moved, part)) return wrote;
    wrote = true;
    put.moved += part;
    if (put.moved == put.size) putting_.pop_front();
  }
  return wrote;
}

void Relay::fail(const base::Error& why) {
  for (const auto& [id, operation] : asked_) done_.add(*operation.completion, why);
  for (const Operation& operation : waiting_) done_.add(*operation.completion, why);
  asked_.clear();
  waiting_.clear();
  putting_.clear();
  serving_.clear();
  answers_.clear();
  expected_.clear();
}

}  // namespace mobula::transport::shm
