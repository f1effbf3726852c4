#pragma once

#include <coroutine>
#include <memory>
#include <string>
#include <utility>

#include "core/worker/runtime.h"
#include "mobula/errors.h"
#include "mobula/options.h"
#include "mobula/serialize.h"

namespace mobula {

namespace detail {

using runtime::ObjectRef;

// Blocks until the object is here; the error it ended with or a timeout, else null.
std::shared_ptr<const base::ErrorInfo> settle(const ObjectRef& ref, TimeLimit limit);
// The same; throws the error.
void await_value(const ObjectRef& ref, TimeLimit limit);
bool is_ready(const ObjectRef& ref);
Decoder decoder_of(const ObjectRef& ref);  // REQUIRES: its value is here.

template <class T>
T decode_fresh(const ObjectRef& ref) {
  Decoder in = decoder_of(ref);
  T value = decode<T>(in);
  if (!in.ok()) throw_undecodable(typeid(T));
  return value;
}
// Once per process; the value lives as long as the object is referred to.
template <class T>
const T& decode_shared(const ObjectRef& ref) {
  if (const void* value = ref->decoded()) return *static_cast<const T*>(value);
  auto fresh = std::make_unique<T>(decode_fresh<T>(ref));
  if (ref->set_decoded(fresh.get(), [](void* p) { delete static_cast<T*>(p); })) fresh.release();
  return *static_cast<const T*>(ref->decoded());
}
template <class T>
T decode_owned(const ObjectRef& ref) {
  if (ref->only_reference() && ref->decoded() != nullptr) {
    const std::unique_ptr<T> value(static_cast<T*>(ref->take_decoded()));
    return std::move(*value);
  }
  return decode_fresh<T>(ref);
}

// Suspends a coroutine until an object is here.  It lives in the coroutine's frame.
class RefAwaiter final : public runtime::Continuation {
 public:
  explicit RefAwaiter(const ObjectRef& ref) : ref_(ref) {}
  RefAwaiter(const RefAwaiter&) = delete;
  RefAwaiter& operator=(const RefAwaiter&) = delete;
  bool await_ready() const { return is_ready(ref_); }
  bool await_suspend(std::coroutine_handle<> waiter);
  void resume() override;
  const ObjectRef& ref() const { return ref_; }

 private:
  const ObjectRef& ref_;
  std::coroutine_handle<> waiter_;
};

template <class T, bool kOwned>
struct ValueAwaiter {
  explicit ValueAwaiter(const ObjectRef& ref) : awaiter(ref) {}
  bool await_ready() const { return awaiter.await_ready(); }
  bool await_suspend(std::coroutine_handle<> waiter) { return awaiter.await_suspend(waiter); }
  decltype(auto) await_resume() const {
    await_value(awaiter.ref(), {});
    if constexpr (kOwned) {
      return decode_owned<T>(awaiter.ref());
    } else {
      return decode_shared<T>(awaiter.ref());
    }
  }
  RefAwaiter awaiter;
};
struct VoidAwaiter {
  explicit VoidAwaiter(const ObjectRef& ref) : awaiter(ref) {}
  bool await_ready() const { return awaiter.await_ready(); }
  bool await_suspend(std::coroutine_handle<> waiter) { return awaiter.await_suspend(waiter); }
  void await_resume() const { await_value(awaiter.ref(), {}); }
  RefAwaiter awaiter;
};

}  // namespace detail

// A reference to a value that some process makes, made or owns.  Copies refer to the same value, which lives
// until the last reference in any process is gone.  Any thread may use any Ref.
//
// get() blocks until the value is here and throws what went wrong (errors.h).  On an lvalue it decodes the value once
// per process and gives a reference that holds as long as any Ref to it; on a temporary it gives the value itself.
// A Ref may be passed to a remote function where its value is expected, and travels inside other values as a Ref.
template <class T>
class [[nodiscard]] Ref {
 public:
  using value_type = T;

  Ref() = default;
  explicit Ref(runtime::ObjectRef object) : object_(std::move(object)) {}

  const T& get() const& { return get(TimeLimit{}); }
  T get() && { return std::move(*this).get(TimeLimit{}); }
  // Throws Timeout when the value is not here in time.
  const T& get(TimeLimit limit) const& {
    detail::await_value(object_, limit);
    return detail::decode_shared<T>(object_);
  }
  T get(TimeLimit limit) && {
    detail::await_value(object_, limit);
    return detail::decode_owned<T>(object_);
  }
  // The value or the failure; never throws what went wrong.
  Expected<T> try_get(TimeLimit limit = {}) const {
    if (auto failed = detail::settle(object_, limit)) return Failure(std::move(failed));
    return detail::decode_fresh<T>(object_);
  }
  // True when there is a value, somewhere, or an error: get() will not wait for a task.
  bool ready() const { return detail::is_ready(object_); }

  auto operator co_await() const& { return detail::ValueAwaiter<T, false>(object_); }
  auto operator co_await() && { return detail::ValueAwaiter<T, true>(object_); }

  explicit operator bool() const { return static_cast<bool>(object_); }
  bool operator==(const Ref&) const = default;
  const runtime::ObjectRef& object() const { return object_; }

 private:
  runtime::ObjectRef object_;
};

template <>
class [[nodiscard]] Ref<void> {
 public:
  using value_type = void;

  Ref() = default;
  explicit Ref(runtime::ObjectRef object) : object_(std::move(object)) {}

  void get(TimeLimit limit = {}) const { detail::await_value(object_, limit); }
  Expected<void> try_get(TimeLimit limit = {}) const {
    if (auto failed = detail::settle(object_, limit)) return Failure(std::move(failed));
    return {};
  }
  bool ready() const { return detail::is_ready(object_); }
  auto operator co_await() const { return detail::VoidAwaiter(object_); }

  explicit operator bool() const { return static_cast<bool>(object_); }
  bool operator==(const Ref&) const = default;
  const runtime::ObjectRef& object() const { return object_; }

 private:
  runtime::ObjectRef object_;
};

namespace detail {

template <class T>
inline constexpr bool kIsRef = kIs<T, Ref>;

template <class T>
inline constexpr bool kSpecialised<Ref<T>> = true;
template <class T>
struct Codec<Ref<T>> {
  static void encode(Encoder& out, const Ref<T>& v) {
    out.put(static_cast<std::uint8_t>(static_cast<bool>(v)));
    if (v) out.ref(v.object());
  }
  static Ref<T> decode(Decoder& in) {
    if (in.get<std::uint8_t>() == 0) return {};
    return Ref<T>(in.ref());
  }
};

ObjectRef put_encoded(Encoder&& value);

}  // namespace detail
}  // namespace mobula
