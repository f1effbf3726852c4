#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>

#include "objstore/logic/run_allocator.h"

namespace mobula::objstore {

// The objects that lie in a process's own slabs, oldest first: what it goes through to see which of them others
// freed.  A list threaded through an array over the index's entries, whose pages are taken when they are first
// used; nothing is allocated per object.
class OwnedObjects {
 public:
  explicit OwnedObjects(std::size_t entries)
      : nodes_(static_cast<Node*>(std::calloc(entries + 1, sizeof(Node))), &std::free) {}

  bool has(std::uint32_t entry) const { return node(entry).size != 0; }
  std::size_t size() const { return size_; }

  void add(std::uint32_t entry, const FileRun& run) {  // REQUIRES: !has(entry), run.size != 0.
    const std::uint32_t last = nodes_[0].previous;
    node(entry) = {last, 0, run.offset, run.size};
    nodes_[last].next = entry + 1;
    nodes_[0].previous = entry + 1;
    ++size_;
  }
  FileRun remove(std::uint32_t entry) {  // REQUIRES: has(entry).
    const Node gone = node(entry);
    nodes_[gone.previous].next = gone.next;
    nodes_[gone.next].previous = gone.previous;
    node(entry) = {};
    --size_;
    return {gone.offset, gone.size};
  }
  std::optional<std::uint32_t> first() const { return named(nodes_[0].next); }
  std::optional<std::uint32_t> next(std::uint32_t entry) const { return named(node(entry).next); }

 private:
  // Numbers are entry + 1; node 0 is both ends of the list.
  struct Node {
    std::uint32_t previous = 0;
    std::uint32_t next = 0;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };
  Node& node(std::uint32_t entry) { return nodes_[entry + 1]; }
  const Node& node(std::uint32_t entry) const { return nodes_[entry + 1]; }
  static std::optional<std::uint32_t> named(std::uint32_t number) {
    return number == 0 ? std::nullopt : std::optional(number - 1);
  }

  std::unique_ptr<Node[], void (*)(void*)> nodes_;
  std::size_t size_ = 0;
};

}  // namespace mobula::objstore
