#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "core/worker/function_table.h"
#include "core/worker/runtime.h"
#include "mobula/detail/signature.h"
#include "mobula/errors.h"
#include "mobula/ref.h"
#include "mobula/serialize.h"
#include "mobula/task.h"

namespace mobula::detail {

using runtime::FunctionEntry;
using runtime::FunctionKind;
using runtime::Invocation;

// The worker's side of a call: thunks that decode arguments, run the user's function and hand over its results.

FunctionEntry make_entry(const char* name, FunctionKind kind, void (*invoke)(Invocation&));
// Runs `body`; what it throws fails the invocation.
void run_guarded(Invocation& invocation, const FunctionEntry& entry, void (*body)(Invocation&));
// Fails the invocation with the exception being handled.
void fail_with_current(Invocation& invocation, const FunctionEntry& entry);
// The runtime's bytes of argument i, or of its converter; bad_argument() and !ok() when they are not there.
class ArgumentReader {
 public:
  ArgumentReader(Invocation& invocation, std::size_t count);
  bool ok() const { return ok_; }
  const runtime::ArgumentView* next();  // Null when there is none.
  void check(const Decoder& in);        // To be called with the decoder of the argument just read.
  void convert(const runtime::ArgumentView& view, void* to);

 private:
  Invocation& invocation_;
  std::size_t next_ = 0;
  bool ok_ = true;
};

// One entry of the function table, made before main in every process whose code names Tag.
template <class Tag, FunctionKind kKind, void (*kBody)(Invocation&)>
struct Registered {
  static const FunctionEntry* const entry;
  static void invoke(Invocation& invocation) { run_guarded(invocation, *entry, kBody); }
};
template <class Tag, FunctionKind kKind, void (*kBody)(Invocation&)>
const FunctionEntry* const Registered<Tag, kKind, kBody>::entry =
    runtime::register_function(make_entry(typeid(Tag).name(), kKind, &invoke));

template <class P>
P read_argument(ArgumentReader& reader) {
  const runtime::ArgumentView* view = reader.next();
  if (view != nullptr && view->converter != 0) {
    alignas(P) std::byte storage[sizeof(P)];
    reader.convert(*view, storage);
    if (reader.ok()) {
      P* converted = std::launder(reinterpret_cast<P*>(storage));
      P value = std::move(*converted);
      converted->~P();
      return value;
    }
    view = nullptr;
  }
  Decoder in = view != nullptr ? view->decoder() : Decoder::plain({});
  P value = decode<P>(in);
  reader.check(in);
  return value;
}

// Values of the parameters of R(P...), in order, and the expressions that hand them over.
template <class... P>
struct ArgumentsOf {
  std::tuple<std::decay_t<P>...> values;
  explicit ArgumentsOf(ArgumentReader& reader) : values{read_argument<std::decay_t<P>>(reader)...} {}
  template <class F>
  decltype(auto) apply(F&& f) {
    return apply(std::forward<F>(f), std::index_sequence_for<P...>{});
  }

 private:
  template <class F, std::size_t... I>
  decltype(auto) apply(F&& f, std::index_sequence<I...>) {
    return std::forward<F>(f)(static_cast<P&&>(std::get<I>(values))...);
  }
};

template <class T>
struct ResultTraits {  // Array has its own: it may lie in the store already.
  static void deliver(Invocation& invocation, std::uint32_t index, T&& value) {
    Encoder out;
    encode(out, value);
    invocation.result(index, std::move(out));
  }
};
template <class T>
void deliver(Invocation& invocation, std::uint32_t index, T&& value) {
  ResultTraits<std::remove_cvref_t<T>>::deliver(invocation, index, std::forward<T>(value));
}
inline void deliver_void(Invocation& invocation) { invocation.result(0, Encoder{}); }

// How results become objects: one for the value, or one for each element of a tuple.
struct WholeResult {
  template <class R>
  static void deliver(Invocation& invocation, R&& value) {
    detail::deliver(invocation, 0, std::forward<R>(value));
  }
};
struct SplitResult {
  template <class... T>
  static void deliver(Invocation& invocation, std::tuple<T...>&& value) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (detail::deliver(invocation, static_cast<std::uint32_t>(I), std::get<I>(std::move(value))), ...);
    }
    (std::index_sequence_for<T...>{});
  }
};

// Runs a coroutine function to its end; `arguments` live as long as it does.
template <class Results, class R, class Args, class Callee>
RootTask run_coroutine(std::shared_ptr<Invocation> invocation, const FunctionEntry* entry, Args arguments,
                       Callee callee) {
  try {
    if constexpr (std::is_void_v<R>) {
      co_await arguments.apply(callee);
      deliver_void(*invocation);
    } else {
      Results::deliver(*invocation, co_await arguments.apply(callee));
    }
  } catch (...) {
    fail_with_current(*invocation, *entry);
  }
}

template <class Results, class Callee, class R, class... P>
void run_call(Invocation& invocation, const FunctionEntry* entry, Callee callee) {
  ArgumentReader reader(invocation, sizeof...(P));
  ArgumentsOf<P...> arguments(reader);
  if (!reader.ok()) return;
  if constexpr (kIsTask<R>) {
    const RunScope scope;
    run_coroutine<Results, Result<R>>(invocation.suspend(), entry, std::move(arguments), callee);
  } else if constexpr (std::is_void_v<R>) {
    arguments.apply(callee);
    deliver_void(invocation);
  } else {
    Results::deliver(invocation, Result<R>(arguments.apply(callee)));
  }
}

// ---- the caller's side.

template <class U, class P>
struct Converter {
  static void convert(Decoder& in, void* to) { new (to) P(decode<U>(in)); }
  static const runtime::ConverterEntry* const entry;
};
runtime::ConverterEntry make_converter(const char* name, void (*convert)(Decoder&, void*));
template <class U, class P>
const runtime::ConverterEntry* const Converter<U, P>::entry =
    runtime::register_converter(make_converter(typeid(Converter).name(), &convert));

template <class P>
inline constexpr bool kPlain = AsBytes<P> && !kSpecialised<P> && !Hooked<P> && !Container<P> && sizeof(P) <= 4096;

void check_encoded(const Encoder& out);  // Throws InvalidArgument for what no message can hold.

}  // namespace mobula::detail

namespace mobula {

// One argument of a remote call: anything convertible to P, or a Ref to such a thing.  It shows the caller's value
// and is read before the call returns; make it nowhere but in a call.
template <class P>
class Arg {
 public:
  Arg(const P& value) : value_(&value) {}
  template <class U>
  requires(std::convertible_to<U, P> && !std::same_as<std::remove_cvref_t<U>, P>) Arg(U&& value)
      : value_(new (storage_) P(std::forward<U>(value))), stored_(true) {}
  template <class U>
  requires(std::convertible_to<U, P>) Arg(const Ref<U>& ref) : ref_(ref.object()) {
    if constexpr (!std::is_same_v<U, P>) converter_ = detail::Converter<U, P>::entry->id;
    if (!ref_) detail::throw_invalid("a Ref given as argument is empty");
  }
  Arg(const Arg&) = delete;
  Arg& operator=(const Arg&) = delete;
  ~Arg() {
    if (stored_) std::launder(reinterpret_cast<P*>(storage_))->~P();
  }

  void add_to(runtime::Arguments& arguments) const {
    if (value_ == nullptr) {
      arguments.add(ref_, converter_);
    } else if constexpr (detail::kPlain<P>) {
      arguments.add_plain(*value_);
    } else {
      runtime::Encoder out;
      detail::encode(out, *value_);
      detail::check_encoded(out);
      arguments.add(std::move(out));
    }
  }

 private:
  const P* value_ = nullptr;
  bool stored_ = false;
  std::uint64_t converter_ = 0;
  runtime::ObjectRef ref_;
  alignas(P) std::byte storage_[sizeof(P)];
};

}  // namespace mobula
