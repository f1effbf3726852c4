#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace mobula::collective {

// Where a range of a plan lies.  In a call in place the caller's one buffer is both input and output.
enum class Buffer : std::uint8_t { kInput, kOutput, kScratch };

// Elements [offset, offset + count) of a buffer.
struct Range {
  Buffer buffer = Buffer::kOutput;
  std::size_t offset = 0;
  std::size_t count = 0;
};

enum class StepKind : std::uint8_t {
  kSend,                // `from` to the peer.
  kReceive,             // `to` becomes what the peer sends.
  kReceiveReduce,       // to = to (op) what the peer sends.
  kReceiveReduceFirst,  // to = what the peer sends (op) to: the lower rank's operand stands first on both sides.
  kCopy,                // to = from.
  kReduce,              // to = to (op) from.
  kReduceFirst,         // to = from (op) to.
};

struct Step {
  StepKind kind = StepKind::kCopy;
  int peer = -1;  // Sends and receives.
  Range from;
  Range to;
};

// What one rank does in one operation: rounds of steps.
//
// In a round all sends and receives go on at once, each peer is sent to at most once and received from at most once,
// and nothing that is sent is written; then the copies and reductions run in order; then the next round begins.  A
// message of no elements is a signal.  The n-th message from one rank to another is the n-th that the other receives
// from it.
struct Plan {
  const char* algorithm = "";
  std::size_t scratch = 0;  // Elements.
  std::vector<Step> steps;
  std::vector<std::size_t> round_ends;  // Indices into steps; the last is steps.size().

  Plan& add(const Step& step) {
    steps.push_back(step);
    return *this;
  }
  void end_round() {
    if (steps.size() != (round_ends.empty() ? 0 : round_ends.back())) round_ends.push_back(steps.size());
  }
  std::size_t rounds() const { return round_ends.size(); }
  std::string to_string() const;  // For a person, a step a line.
};

inline Step send(int peer, const Range& from) { return {StepKind::kSend, peer, from, {}}; }
inline Step receive(int peer, const Range& to) { return {StepKind::kReceive, peer, {}, to}; }
// Reduces what `peer` sends into `to`, the lower rank's operand first.
inline Step receive_reduce(int self, int peer, const Range& to) {
  return {peer < self ? StepKind::kReceiveReduceFirst : StepKind::kReceiveReduce, peer, {}, to};
}
inline Step copy(const Range& from, const Range& to) { return {StepKind::kCopy, -1, from, to}; }
inline Step reduce(const Range& from, const Range& to) { return {StepKind::kReduce, -1, from, to}; }

inline Range in(std::size_t offset, std::size_t count) { return {Buffer::kInput, offset, count}; }
inline Range out(std::size_t offset, std::size_t count) { return {Buffer::kOutput, offset, count}; }
inline Range scratch(std::size_t offset, std::size_t count) { return {Buffer::kScratch, offset, count}; }

}  // namespace mobula::collective
