#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/worker/persistence.h"
#include "mobula/serialize.h"

// State that outlives the processes of a job: for jobs that are preempted, run out of time, or are started again.
//
//   class Model {
//    public:
//     void save(mobula::Archive& ar) const { ar(step_, weights_); }
//     void load(mobula::Archive& ar) { ar(step_, weights_); }
//   };
//
// When the job is about to end (SIGTERM, the signal of `sbatch --signal`, or so long before its end as
// MOBULA_PREEMPT_WARNING_S says) every actor that has save() is saved, and a *named* actor that has load() gets its
// state back after its constructor in the next run.  Files lie under MOBULA_STATE_DIRECTORY (in a Slurm job:
// mobula-state where it was submitted), apart by job id and number of the run; each has a checksum and is there whole
// or not at all.
namespace mobula {

// What goes through is whatever can travel (serialize.h), but Refs and handles, which mean nothing in another run.
class Archive {
 public:
  explicit Archive(base::Buffer& out) : out_(&out) {}                 // Writes.
  explicit Archive(base::ConstBytes in) : in_(in), reading_(true) {}  // Reads.

  bool reading() const { return reading_; }
  // Writes the values, or sets them.  Throws InvalidArgument when there are fewer or others than were written.
  template <class... T>
  Archive& operator()(T&&... values) {
    (item(values), ...);
    return *this;
  }

 private:
  template <class T>
  void item(T& value) {
    using Value = std::remove_const_t<T>;
    if (reading_) {
      if constexpr (std::is_const_v<T>) {
        refuse_const();
      } else {
        Decoder in = next();
        value = detail::decode<Value>(in);
        check(in);
      }
    } else {
      runtime::Encoder out;
      detail::encode<Value>(out, value);
      append(out);  // At once: what is long may be a temporary.
    }
  }
  using Decoder = runtime::Decoder;
  void append(runtime::Encoder& out);
  Decoder next();
  void check(const Decoder& in) const;
  [[noreturn]] static void refuse_const();

  base::Buffer* out_ = nullptr;
  base::ConstBytes in_;
  bool reading_ = false;
};

// Runs `callback` in the driver when the job is about to end, before actors save; half of MOBULA_PREEMPT_GRACE_S is its
// time.  The process ends afterwards.  Throws InvalidArgument in tasks and actors: an actor has save().
void on_preempt(std::function<void()> callback);
// Whether that has begun: for loops that want to stop by themselves.
bool preempted();

// The run that this one goes on from.
struct Resumed {
  unsigned run = 0;       // 1 for the first restart.
  std::string directory;  // Where the state of all runs lies.
};
// Of a job that was requeued (SLURM_RESTART_COUNT), or a program that is started again, when an earlier run has saved
// anything.
std::optional<Resumed> resumed();

namespace detail {
void save_bytes(std::string_view name, base::ConstBytes bytes);
std::optional<std::vector<std::byte>> load_bytes(std::string_view name);
// Runs `body`; what it throws.
std::optional<base::ErrorInfo> guard_state(const char* function, const std::function<void()>& body);

template <class A>
concept SavesState = requires(A& a, Archive& ar) {
  a.save(ar);
};
template <class A>
concept LoadsState = requires(A& a, Archive& ar) {
  a.load(ar);
};

}  // namespace detail

// Writes the values under a name, now: at any time, from the driver or from a worker.  Throws InvalidArgument when
// there is no directory or it cannot be written.
template <class... T>
void save_state(std::string_view name, const T&... values) {
  base::Buffer bytes;
  Archive ar(bytes);
  ar(values...);
  detail::save_bytes(name, bytes.view());
}
// Sets the values to what was last saved under the name, in this run or an earlier one; false when there is nothing.
template <class... T>
bool load_state(std::string_view name, T&... values) {
  const auto bytes = detail::load_bytes(name);
  if (!bytes) return false;
  Archive ar{base::ConstBytes(*bytes)};
  ar(values...);
  return true;
}

}  // namespace mobula
