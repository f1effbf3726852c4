#pragma once

#include <cstddef>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "mobula/actor.h"
#include "mobula/array.h"
#include "mobula/ref.h"

namespace mobula {

namespace detail {
// Blocks until all are here, or throws Timeout.  One limit for all of them.
void settle_all(std::span<const ObjectRef> refs, TimeLimit limit);
// Marks which of the refs are settled once `options.count` are, or the time is up; at most that many.
std::vector<bool> wait_some(std::span<const ObjectRef> refs, const WaitOptions& options);
void cancel_ref(const ObjectRef& ref, CancelOptions options);
void kill_actor(const runtime::ActorRef& actor, KillOptions options);

template <class Range>
std::vector<ObjectRef> objects_of(const Range& refs) {
  std::vector<ObjectRef> out;
  out.reserve(refs.size());
  for (const auto& ref : refs) out.push_back(ref.object());
  return out;
}
template <class T, class Range>
auto get_all(const Range& refs, TimeLimit limit) {
  settle_all(objects_of(refs), limit);
  if constexpr (std::is_void_v<T>) {
    for (const auto& ref : refs) ref.get();
  } else {
    std::vector<T> out;
    out.reserve(refs.size());
    for (const Ref<T>& ref : refs) {
      await_value(ref.object(), {});
      out.push_back(decode_fresh<T>(ref.object()));
    }
    return out;
  }
}
}  // namespace detail

// Several references, as a call to every member of a group gives them.
template <class T>
class [[nodiscard]] Refs {
 public:
  Refs() = default;
  explicit Refs(std::vector<Ref<T>> refs) : refs_(std::move(refs)) {}
  // The values in order, all of them waited for (void: nothing).
  auto get(TimeLimit limit = {}) const { return detail::get_all<T>(refs_, limit); }
  std::size_t size() const { return refs_.size(); }
  bool empty() const { return refs_.empty(); }
  auto begin() const { return refs_.begin(); }
  auto end() const { return refs_.end(); }
  const Ref<T>& operator[](std::size_t i) const { return refs_[i]; }
  operator const std::vector<Ref<T>>&() const { return refs_; }

 private:
  std::vector<Ref<T>> refs_;
};

// Puts a value where every process can get it.  Throws ObjectStoreFull.
template <class T>
[[nodiscard]] Ref<std::decay_t<T>> put(T&& value) {
  using V = std::decay_t<T>;
  runtime::Encoder out;
  detail::encode<V>(out, value);
  return Ref<V>(detail::put_encoded(std::move(out)));
}
template <class T, std::size_t R>
[[nodiscard]] Ref<Array<T, R>> put(Array<T, R>&& array) {
  return seal(std::move(array));
}

// As Ref::get().
template <class T>
const T& get(const Ref<T>& ref, TimeLimit limit = {}) {
  return ref.get(limit);
}
template <class T>
T get(Ref<T>&& ref, TimeLimit limit = {}) {
  return std::move(ref).get(limit);
}
inline void get(const Ref<void>& ref, TimeLimit limit = {}) { ref.get(limit); }
// All the values, in order; one limit for all.
template <class T>
auto get(const std::vector<Ref<T>>& refs, TimeLimit limit = {}) {
  return detail::get_all<T>(refs, limit);
}
template <class T>
auto get(const Refs<T>& refs, TimeLimit limit = {}) {
  return refs.get(limit);
}
template <class... T>
std::tuple<T...> get(const std::tuple<Ref<T>...>& refs, TimeLimit limit = {}) {
  return std::apply(
      [&](const Ref<T>&... ref) {
        const detail::ObjectRef all[] = {ref.object()...};
        detail::settle_all(all, limit);
        return std::tuple<T...>{Ref<T>(ref).get()...};
      },
      refs);
}
template <class T>
Expected<T> try_get(const Ref<T>& ref, TimeLimit limit = {}) {
  return ref.try_get(limit);
}

// Splits refs into those that have a value or an error, and the rest, once options.count of them do or the time is up.
// The first list has at most options.count of them, in the order given.
template <class T>
[[nodiscard]] std::pair<std::vector<Ref<T>>, std::vector<Ref<T>>> wait(std::vector<Ref<T>> refs,
                                                                       WaitOptions options = {}) {
  const std::vector<bool> done = detail::wait_some(detail::objects_of(refs), options);
  std::pair<std::vector<Ref<T>>, std::vector<Ref<T>>> out;
  for (std::size_t i = 0; i < refs.size(); ++i) (done[i] ? out.first : out.second).push_back(std::move(refs[i]));
  return out;
}
template <class T>
[[nodiscard]] auto wait(const Refs<T>& refs, WaitOptions options = {}) {
  return wait(static_cast<const std::vector<Ref<T>>&>(refs), options);
}

// Asks that the task be not run: its Ref then gives Cancelled.  One that runs is told: its waits end with Cancelled,
// and cancelled() is true; what it returns all the same counts.  `.force` ends its worker instead.  Does nothing to a
// task that has ended.
template <class T>
void cancel(const Ref<T>& ref, CancelOptions options = {}) {
  detail::cancel_ref(ref.object(), options);
}
// Ends an actor at once; calls to it give ActorDied.
template <class A>
void kill(const ActorHandle<A>& handle, KillOptions options = {}) {
  detail::kill_actor(handle.actor(), options);
}

}  // namespace mobula
