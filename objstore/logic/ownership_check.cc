#include "objstore/logic/ownership.h"

namespace mobula::objstore {
namespace {

constexpr const char* kStates[] = {"telling", "known", "leaving", "releasing"};
constexpr const char* kVerbs[] = {"borrow", "release", "held"};

}  // namespace

OwnershipMachine::Counts OwnershipMachine::counts() const {
  Counts c{claims_.size(), loans_.size(), 0, waiting_.size()};
  for (const auto& [peer, channel] : channels_) c.unanswered += channel.sender.unanswered();
  return c;
}

bool OwnershipMachine::is_valid() const {
  if (!claims_.is_valid() || !loans_.is_valid() || !have_news_.empty()) return false;
  if (dead_.size() > limits_.dead_max || dead_.size() != dead_in_order_.size()) return false;
  std::size_t repeats = 0;
  for (const auto& [peer, channel] : channels_) {
    if (dead_.contains(peer) || !channel.sender.is_valid()) return false;
    if (channel.sender.open() > limits_.window || channel.receiver.remembered() > limits_.window) return false;
    repeats += channel.sender.repeat_at().has_value();
    // A claim that waits for an answer has its statement on the way, and the other way round.
    std::size_t borrows_and_releases = 0;
    channel.sender.each([&](const Statement& s) { borrows_and_releases += s.verb != Statement::Verb::kHeld; });
    if (borrows_and_releases != claims_.count_unanswered(peer)) return false;
  }
  if (repeats != repeats_.size()) return false;
  for (const auto& [owner, claims] : claims_.all()) {
    if (dead_.contains(owner) || !channels_.contains(owner)) return false;
  }
  ClaimBook::Mark last = 0;
  for (const Waiting& w : waiting_) {
    if (w.mark < last) return false;
    last = w.mark;
  }
  return waiting_.empty() || !claims_.has_passed(waiting_.front().mark);
}

std::string OwnershipMachine::describe() const {
  std::string text;
  for (const auto& [owner, claims] : claims_.all()) {
    for (const auto& [object, claim] : claims) {
      text += "claim " + object.short_hex() + " of " + owner.short_hex() + ' ' +
              kStates[static_cast<std::size_t>(claim.state)] + (claim.held ? " held" : "") +
              (claim.queued ? " queued" : "") +
              (claim.open != 0 ? " after " + std::to_string(claims_.open_before(claim.open)) : "") +
              (claim.dropped_at != 0 ? " since " + std::to_string(claims_.open_before(claim.dropped_at)) : "") + '\n';
    }
  }
  for (const auto& [object, borrowers] : loans_.all()) {
    text += "loan " + object.short_hex() + " to";
    for (const base::WorkerId& b : borrowers) text += ' ' + b.short_hex();
    text += '\n';
  }
  for (const auto& [peer, channel] : channels_) {
    text += "channel " + peer.short_hex();
    channel.sender.each([&](const Statement& s) {
      text += ' ' + std::to_string(s.seq) + kVerbs[static_cast<std::size_t>(s.verb)] +
              (s.verb == Statement::Verb::kHeld ? std::to_string(s.handover) : s.object.short_hex());
    });
    text += " heard " + std::to_string(channel.receiver.floor());
    for (const std::uint64_t seq : channel.receiver.seen()) text += ' ' + std::to_string(seq);
    text += '\n';
  }
  for (const Waiting& w : waiting_) {
    text += "after " + std::to_string(claims_.open_before(w.mark));
    if (const auto* ref = std::get_if<RefName>(&w.then)) text += " to release " + ref->object.short_hex();
    if (const auto* await = std::get_if<Await>(&w.then)) text += " for token " + std::to_string(await->token);
    if (const auto* take = std::get_if<TakeOver>(&w.then)) text += " to say held " + std::to_string(take->handover);
    text += '\n';
  }
  for (const base::WorkerId& d : dead_) text += "dead " + d.short_hex() + '\n';
  return text;
}

}  // namespace mobula::objstore
