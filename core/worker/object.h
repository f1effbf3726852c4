#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/error_info.h"
#include "core/base/ids.h"

namespace mobula::runtime {

using base::Bytes;
using base::ConstBytes;
using base::ErrorInfo;
using base::ObjectId;

// Where an object stands, as this process knows it.
enum class ObjectStatus : std::uint32_t {
  kPending = 0,  // Nobody has told us a value yet.
  kReady,        // The value's bytes are in this process or mapped from this node's store.
  kRemote,       // The value exists in the store of some node; get() brings it here.
  kError,        // It will never have a value; error() says why.
};

// The bytes of a value, kept alive by whatever holds them (a heap block or a pin in the store).  Copies share.
struct View {
  ConstBytes bytes;  // A payload: see codec.h.
  std::shared_ptr<const void> keep_alive;
};

class ObjectState;
namespace detail {
void last_reference_dropped(ObjectState* state) noexcept;  // Defined by the runtime.
}

// What this process knows of one object.  Counted by the ObjectRefs of this process; made and changed
// only by the runtime.  status(), view() and error() may be read by any thread once the status was seen
// to be final; the release-store of the status publishes them.
class ObjectState {
 public:
  const ObjectId& id() const { return id_; }
  ObjectStatus status() const { return status_.load(std::memory_order_acquire); }
  bool settled() const { return status() != ObjectStatus::kPending; }
  const View& view() const { return view_; }          // REQUIRES: kReady.
  const ErrorInfo& error() const { return *error_; }  // REQUIRES: kError.

  // The decoded value, made once per process by the API and destroyed with the state.  Set under the API's own
  // synchronisation: the first pointer stored wins, the loser destroys its own.
  void* decoded() const { return decoded_.load(std::memory_order_acquire); }
  bool set_decoded(void* value, void (*destroy)(void*)) {
    destroy_ = destroy;  // The same function for the same type: a race stores one value twice.
    void* expected = nullptr;
    return decoded_.compare_exchange_strong(expected, value, std::memory_order_acq_rel);
  }
  // Takes the decoded value out; the caller must hold the only reference.
  void* take_decoded() { return decoded_.exchange(nullptr, std::memory_order_acq_rel); }
  bool only_reference() const { return references_.load(std::memory_order_acquire) == 1; }

 protected:
  friend class ObjectRef;
  explicit ObjectState(const ObjectId& id) : id_(id) {}
  ~ObjectState() {
    if (void* v = decoded_.load(std::memory_order_relaxed)) destroy_(v);
  }
  ObjectState(const ObjectState&) = delete;
  ObjectState& operator=(const ObjectState&) = delete;

  std::atomic<std::uint32_t> references_{0};
  std::atomic<ObjectStatus> status_{ObjectStatus::kPending};
  ObjectId id_;
  View view_;
  std::unique_ptr<ErrorInfo> error_;
  std::atomic<void*> decoded_{nullptr};
  void (*destroy_)(void*) = nullptr;
};

// A counted reference to an object: what Ref<T> holds.  Any thread.
class ObjectRef {
 public:
  ObjectRef() = default;
  explicit ObjectRef(ObjectState* state) : state_(state) { acquire(); }
  ObjectRef(const ObjectRef& other) : state_(other.state_) { acquire(); }
  ObjectRef(ObjectRef&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  ObjectRef& operator=(ObjectRef other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~ObjectRef() {
    if (state_ != nullptr && state_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      detail::last_reference_dropped(state_);
    }
  }

  explicit operator bool() const { return state_ != nullptr; }
  ObjectState* state() const { return state_; }
  ObjectState* operator->() const { return state_; }
  bool operator==(const ObjectRef& other) const { return state_ == other.state_; }

 private:
  void acquire() {
    if (state_ != nullptr) state_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  ObjectState* state_ = nullptr;
};

}  // namespace mobula::runtime
