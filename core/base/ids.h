#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace mobula::base {

// An identifier of 28 bytes.  Distinct types, so that a task is never passed for an object.
//
// Layout: three 64-bit words and one 32-bit index, little endian, no padding on the wire.  Node,
// worker and job ids are random; task, actor and object ids derive from the id of the task that made
// them and a counter, so that a task that runs again makes the same ids.
template <class Tag>
struct Id {
  static constexpr std::size_t kBytes = 28;

  std::array<std::uint32_t, 7> words{};

  static Id from_words(std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint32_t index) {
    Id id;
    std::memcpy(&id.words[0], &a, 8);
    std::memcpy(&id.words[2], &b, 8);
    std::memcpy(&id.words[4], &c, 8);
    id.words[6] = index;
    return id;
  }
  static Id from_bytes(const void* bytes) {  // REQUIRES: 28 readable bytes.
    Id id;
    std::memcpy(id.words.data(), bytes, kBytes);
    return id;
  }
  static std::optional<Id> from_string(std::string_view bytes) {
    if (bytes.size() != kBytes) return std::nullopt;
    return from_bytes(bytes.data());
  }

  std::uint64_t word(int i) const {  // REQUIRES: 0 <= i < 3.
    std::uint64_t v;
    std::memcpy(&v, &words[static_cast<std::size_t>(2 * i)], 8);
    return v;
  }
  std::uint32_t index() const { return words[6]; }
  bool is_nil() const { return words == std::array<std::uint32_t, 7>{}; }
  std::string bytes() const { return std::string(reinterpret_cast<const char*>(words.data()), kBytes); }
  std::string hex() const;        // 56 characters.
  std::string short_hex() const;  // The first 12, for people.

  auto operator<=>(const Id&) const = default;
};

using JobId = Id<struct JobTag>;
using NodeId = Id<struct NodeTag>;
using WorkerId = Id<struct WorkerTag>;
using TaskId = Id<struct TaskTag>;
using ActorId = Id<struct ActorTag>;
using ObjectId = Id<struct ObjectTag>;
using LeaseId = Id<struct LeaseTag>;
using PlacementGroupId = Id<struct PlacementGroupTag>;
static_assert(sizeof(ObjectId) == ObjectId::kBytes);

// Mixes 64 bits so that each input bit reaches each output bit (the finaliser of SplitMix64).
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// FNV-1a over a name, then mixed.  The same in every process and on every compiler.
constexpr std::uint64_t hash64(std::string_view s) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : s) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mix64(h);
}

// The id of the `counter`-th task (or actor) that `parent` submits.  Deterministic; index() is 0.
template <class To, class From>
To derive(const From& parent, std::uint64_t counter) {
  const std::uint64_t a = mix64(parent.word(0) ^ counter);
  const std::uint64_t b = mix64(parent.word(1) + 0x632be59bd9b4e019u * (counter + 1));
  const std::uint64_t c = mix64(parent.word(2) ^ mix64(counter ^ 0xd1b54a32d192ed03u));
  return To::from_words(a, b ^ c, c + a, 0);
}

// Objects share their task's first 24 bytes.  Returns have indexes 1, 2, ...; what the task puts has
// kPutIndex + 1, kPutIndex + 2, ...
inline constexpr std::uint32_t kPutIndex = 0x8000'0000u;
inline ObjectId object_of(const TaskId& task, std::uint32_t index) {
  ObjectId id;
  id.words = task.words;
  id.words[6] = index;
  return id;
}
inline TaskId task_of(const ObjectId& object) {
  TaskId id;
  id.words = object.words;
  id.words[6] = 0;
  return id;
}

struct IdHash {
  template <class Tag>
  std::size_t operator()(const Id<Tag>& id) const {
    return static_cast<std::size_t>(mix64(id.word(0) ^ (id.word(1) * 3) ^ id.index()));
  }
};

}  // namespace mobula::base

template <class Tag>
struct std::hash<mobula::base::Id<Tag>> : mobula::base::IdHash {};
