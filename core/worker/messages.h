#pragma once

#include <cstdint>
#include <type_traits>

#include "core/base/ids.h"

// The hot messages between drivers and workers: fixed layouts, one version for all, little endian, nothing in
// them trusted before its length was checked.
namespace mobula::runtime {

inline constexpr std::uint8_t kMessageVersion = 2;

enum class Hot : std::uint16_t {
  kCall = 1,   // CallHeader; payload: arguments, then dependencies.
  kReply,      // ReplyHeader; payload: one Returned per return, or an encoded ErrorInfo.
  kCancel,     // CancelHeader.
  kObjectGet,  // ObjectHeader: borrower to owner, answered once there is a value.  Payload: none, or the epoch and the
               // NodeIds of copies that are gone.
  kObjectValue,  // ObjectHeader; payload: one Returned, or an encoded ErrorInfo.
  kTell,         // TellHeader; payload: StatementWires (docs/protocols/ownership.md).  Repeated until answered.
  kTold,         // TellHeader; payload: AnswerWires.
  kLocation,     // ObjectHeader; payload: NodeId.  A secondary copy was made there.
  kTakeBack,     // CancelHeader, call unused: answer every task of mine that has not begun with kReturned.
  kCollective,   // collective::MessageHeader.
};

// The second word of every header.
enum class Target : std::uint8_t { kTask = 0, kActor = 1 };

struct CallHeader {
  std::uint8_t version = kMessageVersion;
  Target target = Target::kTask;
  std::uint16_t returns = 1;
  std::uint32_t arguments = 0;  // How many.
  std::uint64_t call = 0;       // The caller's handle, repeated in the reply.
  std::uint64_t function = 0;
  std::uint64_t sequence = 0;        // Actors: 0, 1, ... per caller and incarnation.
  std::uint64_t incarnation = 0;     // Actors: which run of the actor is meant.
  std::uint32_t argument_bytes = 0;  // Dependencies begin here in the payload.
  std::uint32_t dependencies = 0;
  std::uint32_t attempt = 0;
  base::TaskId task;
  base::JobId job;
};
static_assert(std::is_trivially_copyable_v<CallHeader> && sizeof(CallHeader) == 112);

enum class CallStatus : std::uint8_t {
  kOk = 0,
  kError = 1,     // The payload is an ErrorInfo.
  kReturned = 2,  // Not run and not to be counted: the worker waits inside a task; run it elsewhere.
};

struct ReplyHeader {
  std::uint8_t version = kMessageVersion;
  CallStatus status = CallStatus::kOk;
  std::uint16_t returns = 0;
  std::uint32_t references = 0;  // How many references the values hold; they follow the returns.
  std::uint64_t call = 0;
  std::uint64_t run_ns = 0;  // Tasks: how long the user's code ran.
};
static_assert(std::is_trivially_copyable_v<ReplyHeader> && sizeof(ReplyHeader) == 24);

// One return or one object in a payload: this, then `size` bytes when inline, or NodeIds when in a store.
enum class Place : std::uint8_t { kInline = 0, kStore = 1 };
struct Returned {
  Place place = Place::kInline;
  std::uint8_t holders = 0;  // kStore: NodeIds that follow.
  std::uint16_t reserved = 0;
  std::uint32_t epoch = 0;  // kStore: how often its copies had all been lost before these were made.
  std::uint64_t size = 0;   // Of the payload.
};
static_assert(sizeof(Returned) == 16);

struct ObjectHeader {
  std::uint8_t version = kMessageVersion;
  CallStatus status = CallStatus::kOk;
  std::uint16_t reserved = 0;
  std::uint32_t references = 0;
  base::ObjectId object;
};
static_assert(sizeof(ObjectHeader) == 36);

struct TellHeader {
  std::uint8_t version = kMessageVersion;
  std::uint8_t reserved = 0;
  std::uint16_t count = 0;  // Of what follows.
  std::uint32_t reserved2 = 0;
  std::uint64_t floor = 0;  // kTell: what is below has been answered.
};
static_assert(sizeof(TellHeader) == 16);

struct StatementWire {
  std::uint64_t seq = 0;
  std::uint64_t handover = 0;  // kHeld: the call whose reply held references.
  base::ObjectId object;       // Else.
  std::uint8_t verb = 0;       // objstore::Statement::Verb.
  std::uint8_t reserved[3] = {};
};
static_assert(std::is_trivially_copyable_v<StatementWire> && sizeof(StatementWire) == 48);

struct AnswerWire {
  std::uint64_t seq = 0;
  std::uint8_t known = 0;
  std::uint8_t reserved[7] = {};
};
static_assert(sizeof(AnswerWire) == 16);

struct CancelHeader {
  std::uint8_t version = kMessageVersion;
  std::uint8_t force = 0;
  std::uint8_t recursive = 0;
  std::uint8_t reserved = 0;
  std::uint32_t reserved2 = 0;
  std::uint64_t call = 0;
};
static_assert(sizeof(CancelHeader) == 16);

}  // namespace mobula::runtime
