#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collective/algorithms.h"
#include "collective/run.h"
#include "core/base/bytes.h"

namespace mobula::collective {

// Why a group refuses work from now on.
struct Failure {
  // Ranks, and of each the first incarnation of its actor that may take its place; empty when the calls did not fit
  // each other.
  std::map<int, std::uint64_t> dead;
  std::string what;
  bool operator==(const Failure&) const = default;
};
void encode(const Failure& failure, base::Buffer& out);
std::optional<Failure> decode_failure(ConstBytes bytes);

struct GroupKey {
  std::uint64_t id = 0;
  std::uint32_t epoch = 0;
  auto operator<=>(const GroupKey&) const = default;
};

// A call that was begun.  The caller keeps it until it has ended, or drops it when it no longer wants to know.
struct Call {
  bool done = false;    // The buffers hold the result.
  bool failed = false;  // The buffers hold anything; Group::failure() says why.
  bool ended() const { return done || failed; }
};

// One member's side of a group in one epoch: runs calls in the order in which they were begun, many at once, and ends
// all of them on every member when one is lost or calls something else.  A machine without I/O: it is fed with messages
// and losses, and sends through the Wire that is passed in.
//
// What is under way to a member and not consumed there is bounded: kRunBytes of one call, kPeerBytes of all, but that a
// call may always use its own share while no older one has anything there.  So who runs ahead is held back, and calls
// that were begun later never stand in the way of those that the other side waits for.
class Group {
 public:
  static constexpr std::size_t kRunBytes = 256u << 10;
  static constexpr std::size_t kPeerBytes = 1u << 20;
  static constexpr std::size_t kCreditBatch = 128u << 10;  // Consumed before the sender is told; half of kRunBytes.
  static constexpr std::size_t kMessageCost = 128;         // What a message costs besides its payload.
  static constexpr std::size_t kEarlyBytesMax = 2 * (kPeerBytes + kRunBytes);  // Of one member; more is a violation.

  Group(const GroupKey& key, Place place) : key_(key), place_(place), peers_(static_cast<std::size_t>(place.size)) {}

  const GroupKey& key() const { return key_; }
  Place place() const { return place_; }
  const std::optional<Failure>& failure() const { return failure_; }
  bool idle() const { return runs_.empty(); }
  std::uint64_t calls_ended() const { return calls_ended_; }

  // Begins a call of all members.  `reduction` is copied.
  std::shared_ptr<Call> begin(Plan plan, const Signature& signature, const Run::Buffers& buffers,
                              const Reduction* reduction, Wire& wire);
  // Begins a message to or from another member.
  std::shared_ptr<Call> begin_send(int to, ConstBytes bytes, Wire& wire);
  std::shared_ptr<Call> begin_receive(int from, Bytes bytes, Wire& wire);

  // A message whose header names this group and epoch.  False: it cannot be from a member that follows the protocol.
  bool receive(const MessageHeader& header, ConstBytes payload, Wire& wire);
  // There may be room again.
  void pump(Wire& wire);
  // A member's process has ended, or does not answer; who may take its place, see Failure.
  void lose(int rank, const std::string& why, Wire& wire, std::uint64_t next_incarnation = 0);
  // Another process stands for the lost member now, and has not heard that the group has failed.
  void tell_again(int rank, Wire& wire);
  // Ends every call on every member, though nobody is known to be dead.
  void give_up(const std::string& why, Wire& wire) { fail({{}, why}, wire); }

  // For errors and for people: the calls under way and whom each waits for.
  std::string describe() const;
  // Whom the oldest call waits for.
  std::vector<int> waits_for() const;

 private:
  // A call of all: (0, sequence).  A message: (1 + rank of the other, sequence) where we receive, and behind those
  // (1 + size + rank) where we send.
  using RunKey = std::pair<int, std::uint64_t>;
  struct Active {
    Run run;
    Reduction reduction;
    std::shared_ptr<Call> call;
  };
  struct Early {
    MessageHeader header;
    std::vector<std::byte> payload;
  };
  // Whose share of the credit a message uses; the same for its sender and its receiver.
  struct CreditKey {
    std::uint8_t message = 0;  // 1: of kSendReceive.
    std::uint64_t sequence = 0;
    auto operator<=>(const CreditKey&) const = default;
  };
  struct PeerState {
    std::map<CreditKey, std::size_t> under_way;  // To it and not consumed there, as far as we have been told.
    std::size_t under_way_bytes = 0;
    std::map<CreditKey, std::size_t> consumed;  // From it, and not yet told.
    std::size_t consumed_bytes = 0;
    std::size_t early_bytes = 0;
    std::uint64_t sent = 0;  // Messages of kSendReceive begun.
    std::uint64_t received = 0;
    bool tell_failure = false;
  };
  struct Credits {
    Group& group;
    CreditKey key;
    bool may_send(int rank, std::size_t bytes) const;
    void sent(int rank, std::size_t bytes) const;
  };

  static CreditKey credit_key(const MessageHeader& header);
  PeerState& peer(int rank) { return peers_[static_cast<std::size_t>(rank)]; }
  MessageHeader header_of(const Run& run) const;
  std::shared_ptr<Call> start(const RunKey& key, Plan plan, const Signature& signature, std::uint64_t sequence,
                              const Run::Buffers& buffers, const Reduction* reduction, Wire& wire);
  bool deliver(std::map<RunKey, std::unique_ptr<Active>>::iterator at, const MessageHeader& header, ConstBytes payload,
               Wire& wire);
  void advance(std::map<RunKey, std::unique_ptr<Active>>::iterator at, Wire& wire);
  void consumed(const MessageHeader& header, std::size_t payload, Wire& wire);
  void give_credit(int to, Wire& wire);
  bool take_credit(PeerState& from, ConstBytes payload);
  void fail(Failure failure, Wire& wire);
  void leave_runs() {
    if (advancing_ == 0) left_.clear();
  }
  void tell(Wire& wire);

  GroupKey key_;
  Place place_;
  std::uint64_t next_ = 0;
  std::uint64_t calls_ended_ = 0;
  std::vector<PeerState> peers_;
  std::map<RunKey, std::unique_ptr<Active>> runs_;
  std::multimap<RunKey, Early> early_;
  std::optional<Failure> failure_;
  int advancing_ = 0;                          // A Wire may tell of a loss from inside send():
  std::vector<std::unique_ptr<Active>> left_;  // what failed then is kept until nobody uses it.
};

}  // namespace mobula::collective
