#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

namespace mobula::collective {

inline constexpr std::uint8_t kMessageVersion = 1;

enum class Operation : std::uint8_t {
  kBarrier = 0,
  kBroadcast,
  kReduce,
  kAllreduce,
  kGather,
  kScatter,
  kAllgather,
  kReduceScatter,
  kAlltoall,
  kScan,
  kExclusiveScan,
  kSendReceive,  // From one member to another; outside the order of the others.
};
inline constexpr std::uint8_t kOperations = 12;
const char* name_of(Operation operation);

// What a call must have in common on all ranks; found out from the first message of a rank that differs.
struct Signature {
  Operation operation = Operation::kBarrier;
  std::int32_t root = 0;
  std::uint32_t reduction = 0;  // Reduction::id; 0: none.
  std::uint64_t count = 0;      // Elements, as all ranks know them; 0 where each rank has its own.
  std::uint64_t element_bytes = 0;
  bool operator==(const Signature&) const = default;
};

std::string to_string(const Signature& signature);  // For people.

enum class MessageKind : std::uint8_t {
  kPiece,   // Payload: bytes [offset, offset + payload) of the `total` of one step.
  kCredit,  // Payload: what has been consumed, by call.
  kFailed,  // The group has failed; payload: Failure, encoded.
  kPing,    // Are you there?  From `from` to rank `count`.  Answered by whoever drives the group, not by the group.
  kPong,    // Payload: what this process is doing, as text.
  kWake,    // What you sleep for in shared memory may have come.
};

// In front of each message between two members.  Fixed layout.
struct MessageHeader {
  std::uint8_t version = kMessageVersion;
  MessageKind kind = MessageKind::kPiece;
  Operation operation = Operation::kBarrier;
  std::uint8_t reserved = 0;
  std::int32_t root = 0;
  std::uint64_t group = 0;
  std::uint32_t epoch = 0;
  std::int32_t from = 0;       // Rank.
  std::uint64_t sequence = 0;  // Of the operation in its group; kSendReceive: of the message from this rank to that.
  std::uint32_t message = 0;   // The n-th from this rank to that one in the operation.
  std::uint32_t reduction = 0;
  std::uint64_t count = 0;
  std::uint64_t element_bytes = 0;
  std::uint64_t offset = 0;
  std::uint64_t total = 0;
};
static_assert(std::is_trivially_copyable_v<MessageHeader> && sizeof(MessageHeader) == 72);

}  // namespace mobula::collective
