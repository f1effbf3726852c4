// Turns the exception being handled into an ErrorInfo, with the stack of the place that threw it.
#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <typeinfo>

#include "core/api/throw_hook.h"
#include "core/worker/function_table.h"
#include "mobula/errors.h"

namespace mobula::detail {
namespace {

using base::ErrorInfo;
using base::StdException;

constexpr int kFramesMax = 40;

struct ThrowPoint {
  const void* thrown = nullptr;  // The exception object.
  int first = 0;                 // The frame that threw, below those of the hook.
  int frames = 0;
  std::array<void*, kFramesMax> stack{};
};

// The last throws of this thread: more than one is in flight where exceptions nest.
struct ThrowLog {
  int recorders = 0;
  unsigned next = 0;
  std::array<ThrowPoint, 4> points{};

  void note(const void* thrown, const void* thrower) {
    ThrowPoint& point = points[next++ % points.size()];
    point.thrown = thrown;
    point.frames = ::backtrace(point.stack.data(), kFramesMax);
    point.first = 0;
    while (point.first < point.frames && point.stack[static_cast<std::size_t>(point.first)] != thrower) ++point.first;
    if (point.first == point.frames) point.first = 0;
  }
  const ThrowPoint* find(const void* thrown) const {
    for (unsigned back = 1; back <= points.size(); ++back) {
      const ThrowPoint& point = points[(next - back) % points.size()];
      if (point.thrown == thrown) return &point;
    }
    return nullptr;
  }
};
thread_local ThrowLog throw_log;

// libstdc++'s exception_ptr is one pointer to the thrown object.
const void* object_of(const std::exception_ptr& e) {
  static_assert(sizeof(std::exception_ptr) == sizeof(void*));
  const void* object = nullptr;
  std::memcpy(&object, &e, sizeof object);
  return object;
}

std::string frame_name(void* address) {
  Dl_info info{};
  // A return address may lie behind the function's end.
  const auto at = reinterpret_cast<std::uintptr_t>(address) - 1;
  if (::dladdr(reinterpret_cast<void*>(at), &info) == 0) return {};
  if (info.dli_sname != nullptr) return runtime::demangle(info.dli_sname);
  const char* file = info.dli_fname != nullptr ? info.dli_fname : "?";
  if (const char* slash = std::strrchr(file, '/')) file = slash + 1;
  char text[256];
  std::snprintf(text, sizeof text, "%s+0x%zx", file,
                static_cast<std::size_t>(at - reinterpret_cast<std::uintptr_t>(info.dli_fbase)));
  return text;
}

// From the function that threw down to the thunk that called the user's function.
std::string stack_text(const ThrowPoint& point) {
  std::string out;
  for (int i = point.first; i < point.frames; ++i) {
    const std::string name = frame_name(point.stack[static_cast<std::size_t>(i)]);
    if (name.find("mobula::detail::run_call<") != name.npos || name.find("mobula::detail::run_guarded") != name.npos)
      break;
    out += name + "\n";
  }
  return out;
}

std::string thrown_type() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  return type != nullptr ? runtime::demangle(type->name()) : std::string("unknown");
}

template <class E>
bool is(const std::exception& e) {
  return dynamic_cast<const E*>(&e) != nullptr;
}

// Most derived first.
StdException std_type_of(const std::exception& e) {
  if (is<std::system_error>(e)) return StdException::kSystemError;
  if (is<std::range_error>(e)) return StdException::kRangeError;
  if (is<std::overflow_error>(e)) return StdException::kOverflowError;
  if (is<std::underflow_error>(e)) return StdException::kUnderflowError;
  if (is<std::runtime_error>(e)) return StdException::kRuntimeError;
  if (is<std::invalid_argument>(e)) return StdException::kInvalidArgument;
  if (is<std::domain_error>(e)) return StdException::kDomainError;
  if (is<std::length_error>(e)) return StdException::kLengthError;
  if (is<std::out_of_range>(e)) return StdException::kOutOfRange;
  if (is<std::logic_error>(e)) return StdException::kLogicError;
  if (is<std::bad_alloc>(e)) return StdException::kBadAlloc;
  if (is<std::bad_cast>(e)) return StdException::kBadCast;
  return StdException::kException;
}

// "TYPE: what" of each exception nested in `e`, outermost first.
void append_nested(const std::exception& e, std::string& out, int depth) {
  const auto* nested = dynamic_cast<const std::nested_exception*>(&e);
  if (nested == nullptr || !nested->nested_ptr() || depth == 0) return;
  try {
    std::rethrow_exception(nested->nested_ptr());
  } catch (const std::exception& inner) {
    out += runtime::demangle(typeid(inner).name()) + ": " + inner.what() + "\n";
    append_nested(inner, out, depth - 1);
  } catch (...) {
    out += "an exception of type " + thrown_type() + "\n";
  }
}

// std::nested_exception wraps the type thrown in one of its own.
std::string unwrapped(std::string type) {
  constexpr std::string_view kWrapper = "std::_Nested_exception<";
  if (type.starts_with(kWrapper) && type.ends_with('>')) {
    type = type.substr(kWrapper.size(), type.size() - kWrapper.size() - 1);
  }
  return type;
}

void describe(const std::exception& e, ErrorInfo& info) {
  info.what = e.what();
  info.std_type = std_type_of(e);
  append_nested(e, info.cause, 16);
  if (const auto* system = dynamic_cast<const std::system_error*>(&e)) {
    info.evidence.push_back("error code " + std::string(system->code().category().name()) + ":" +
                            std::to_string(system->code().value()));
  }
}

}  // namespace

ThrowRecorder::ThrowRecorder() {
  hook_throws();
  ++throw_log.recorders;
}
ThrowRecorder::~ThrowRecorder() { --throw_log.recorders; }

ErrorInfo capture_current_exception(std::string function) {
  ErrorInfo info;
  info.kind = base::ErrorKind::kTask;
  const std::exception_ptr current = std::current_exception();
  try {
    std::rethrow_exception(current);
  } catch (const Error& e) {
    // An error of another task that this one did not catch keeps what it is; the path is its cause.
    info = e.info();
    constexpr std::size_t kPathBytesMax = 8 * 1024;  // Deep chains of tasks keep their beginning.
    if (info.cause.size() < kPathBytesMax) info.cause += "not caught in " + function + "\n";
    return info;
  } catch (const std::exception& e) {
    info.type = unwrapped(thrown_type());
    describe(e, info);
  } catch (...) {
    info.type = thrown_type();
    info.what = "an exception of type " + info.type;
  }
  info.function = std::move(function);
  info.pid = ::getpid();
  if (const ThrowPoint* point = throw_log.find(object_of(current))) info.stack = stack_text(*point);
  return info;
}

void note_throw(const void* thrown, const void* thrower) {
  if (throw_log.recorders != 0) throw_log.note(thrown, thrower);
}

}  // namespace mobula::detail
