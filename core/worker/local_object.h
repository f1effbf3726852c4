#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/base/ids.h"
#include "core/worker/object.h"
#include "core/worker/runtime.h"

namespace mobula::runtime {

struct Peer;
class LocalObject;

// Something to do once an object settles.  Intrusive, so that waiting allocates nothing.
struct Waiter {
  enum class Wants : std::uint8_t { kSettled, kLocal };  // kLocal: the bytes here, or an error.
  virtual void object_ready(LocalObject& object) = 0;    // Under the engine's lock; the waiter is unlinked already.
  Waiter* next = nullptr;
  Wants wants = Wants::kSettled;

 protected:
  ~Waiter() = default;
};

// Counted by its references in this process; everything else under the engine's lock.
//
// Invariant: listed (in the table by id) iff another process may name the object to us, or we borrowed it.
class LocalObject final : public ObjectState {
 public:
  static constexpr std::size_t kSmallBytes = 80;  // A result of 64 bytes and its header need no allocation.
  static constexpr std::uint64_t kNoTask = ~0ull;

  explicit LocalObject(const ObjectId& id) : ObjectState(id) {}
  ~LocalObject() = default;

  // What only some objects have.
  struct More {
    std::vector<base::NodeId> holders;  // Nodes with a copy; the first is the primary.
    std::vector<base::NodeId> gone;     // Nodes that had one, of this epoch.
    std::uint32_t epoch = 0;            // How often all copies had been lost before those of `holders` were made.
    int pull_failures = 0;              // In a row,
    bool backs_off = false;             // and the next pull begins later.
    std::vector<ObjectRef> contained;   // References inside the value, held with it.
    std::vector<Peer*> asking;          // Asked for the value before it was there.
    Peer* owner = nullptr;              // Of a borrowed object.
    bool asked = false;                 // We asked the owner for it.
    bool pulling = false;
    bool borrow_sent = false;
    std::function<void()> on_gone;  // Nobody anywhere holds it any more.
  };
  More& more() {
    if (more_ == nullptr) more_ = std::make_unique<More>();
    return *more_;
  }
  More* more_if_any() { return more_.get(); }

  bool has_waiters() const { return waiters_ != nullptr; }
  // Somebody waits for its value, here or elsewhere.
  bool is_wanted() const { return has_waiters() || (more_ != nullptr && !more_->asking.empty()); }
  bool borrowed() const { return more_ != nullptr && more_->owner != nullptr; }
  std::uint64_t size() const { return size_; }
  // True once the last drop must go through the engine: the object is listed, or lies in a store.
  bool entangled() const { return entangled_.load(std::memory_order_acquire); }
  void entangle() { entangled_.store(true, std::memory_order_release); }
  // Where there is a value, as far as is known.
  bool has_value() const { return settled() && !sought; }
  bool has_references() const { return references_.load(std::memory_order_acquire) != 0; }

  void add_waiter(Waiter& waiter) {
    waiter.next = waiters_;
    waiters_ = &waiter;
  }
  void remove_waiter(Waiter& waiter);  // Harmless when it has been told.

  // Settling, each once.  The caller then runs take_waiters().
  void settle_inline(ConstBytes payload);  // Copies.
  void settle_view(View view);
  void settle_remote(std::uint64_t size) {
    size_ = size;
    publish(ObjectStatus::kRemote);
  }
  void settle_error(ErrorInfo error) {
    error_ = std::make_unique<ErrorInfo>(std::move(error));
    publish(ObjectStatus::kError);
  }
  // Waiters of the present status, in the order in which they came.
  Waiter* take_waiters();

  std::uint64_t task = kNoTask;  // The task that makes it, while it runs.
  LocalObject* next_dropped = nullptr;
  std::atomic<bool> drop_queued{false};
  bool listed = false;
  bool in_store = false;  // Our own node's store has a copy that we must free.
  bool made = false;      // A result of a task of ours that can be run again (lineage.h).
  bool sought = false;    // kRemote, and no copy is known: its owner looks for one, or has it made again.

 private:
  void publish(ObjectStatus status) { status_.store(status, std::memory_order_release); }

  std::atomic<bool> entangled_{false};
  Waiter* waiters_ = nullptr;
  std::uint64_t size_ = 0;
  std::unique_ptr<More> more_;
  alignas(8) std::byte small_[kSmallBytes];
};

inline LocalObject& local(const ObjectRef& ref) { return *static_cast<LocalObject*>(ref.state()); }

// An uninitialised heap block at a multiple of kBufferAlign.
View aligned_block(std::size_t bytes);
// A heap block at a multiple of kBufferAlign, for payloads whose buffers are read in place.
View aligned_copy(ConstBytes payload);
// True when the payload has buffers (which want alignment) and is not just a meta stream.
bool has_buffers(ConstBytes payload);
// Checks a payload's frame: counts and sizes within the bytes.
bool is_well_framed(ConstBytes payload);

}  // namespace mobula::runtime
